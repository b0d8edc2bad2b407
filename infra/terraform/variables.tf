variable "name" {
  description = "Name of the stack, and the beginning of every other name. The operator's tool is given it as COMMITSTATUS_STACK."
  type        = string
  default     = "commitstatus"
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z][a-zA-Z0-9-]{0,31}$", var.name))
    error_message = "Letters, digits and hyphens, 32 at most, a letter first."
  }
}

variable "stage" {
  description = "What this stack is for. A tag on everything, and in the text of each alarm."
  type        = string
  default     = "prod"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.stage))
    error_message = "Lower-case letters, digits and hyphens, 20 at most, a letter first."
  }
}

variable "tags" {
  description = "Further tags on everything that can have any."
  type        = map(string)
  default     = {}
  nullable    = false
}

# --- the functions' code: files here, or objects in a bucket ----------------------------------------------------------

variable "zips" {
  description = "Path of each function's zip. Or set `s3_bucket` and `s3_keys`."
  type = object({
    intake  = string
    rules   = string
    poster  = string
    sweeper = string
  })
  default = null

  validation {
    condition     = var.zips == null ? true : alltrue([for zip in values(var.zips) : fileexists(zip)])
    error_message = "No such file: ${var.zips == null ? "" : join(", ", [for zip in values(var.zips) : zip if !fileexists(zip)])}. README.md says how they are made."
  }

  validation {
    condition     = (var.zips == null) != (var.s3_keys == null)
    error_message = "Set either zips, or s3_bucket and s3_keys."
  }
}

variable "s3_bucket" {
  description = "Bucket the zips are in, in the stack's region. Goes with `s3_keys`."
  type        = string
  default     = null

  validation {
    condition     = (var.s3_bucket == null) == (var.s3_keys == null)
    error_message = "s3_bucket and s3_keys go together."
  }
}

variable "s3_keys" {
  description = "Key of each function's zip in `s3_bucket`. A release needs keys of its own, or `s3_object_versions`: Terraform does not see that an object has changed."
  type = object({
    intake  = string
    rules   = string
    poster  = string
    sweeper = string
  })
  default = null
}

variable "s3_object_versions" {
  description = "Version of each function's object, if the bucket keeps versions."
  type = object({
    intake  = optional(string)
    rules   = optional(string)
    poster  = optional(string)
    sweeper = optional(string)
  })
  default  = {}
  nullable = false
}

variable "architecture" {
  description = "What the functions were built for: `arm64` or `x86_64`. Nothing here looks into a zip; see README.md."
  type        = string
  default     = "arm64"
  nullable    = false

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "arm64 or x86_64."
  }
}

# --- how it runs ------------------------------------------------------------------------------------------------------

variable "intake_reserved_concurrency" {
  description = "Instances kept for intake, and its limit: some ten requests a second each. 0: none are kept, as an account needs 100 unreserved ones and new accounts have 10."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.intake_reserved_concurrency >= 0 && var.intake_reserved_concurrency <= 10000
    error_message = "0 to 10000."
  }
}

variable "rules_maximum_concurrency" {
  description = "Instances of rules at the same time. Together with the other functions within what the account may run, which is 10 in new accounts."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = var.rules_maximum_concurrency >= 2 && var.rules_maximum_concurrency <= 1000
    error_message = "2 to 1000."
  }
}

variable "poster_maximum_concurrency" {
  description = "Instances of poster at the same time. Together with the other functions within what the account may run, which is 10 in new accounts."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = var.poster_maximum_concurrency >= 2 && var.poster_maximum_concurrency <= 1000
    error_message = "2 to 1000."
  }
}

variable "max_event_age_hours" {
  description = "Hours after which intake refuses an event."
  type        = number
  default     = 24
  nullable    = false

  validation {
    condition     = var.max_event_age_hours >= 1 && var.max_event_age_hours <= 2160
    error_message = "1 to 2160."
  }
}

variable "allowed_private_ranges" {
  description = "Private address ranges in which a Git host may be, such as 10.20.0.0/16. Empty: public addresses only."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for range in var.allowed_private_ranges : can(cidrhost(range, 0))])
    error_message = "Ranges such as 10.20.0.0/16."
  }
}

variable "poster_subnet_ids" {
  description = "Private subnets poster is connected to, for Git hosts that only a VPC reaches. Empty: it is in no VPC. See docs/deploy.md for what it needs there."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.poster_subnet_ids) <= 16 && alltrue([for id in var.poster_subnet_ids : can(regex("^subnet-([0-9a-f]{8}|[0-9a-f]{17})$", id))])
    error_message = "Ids of subnets, 16 at most."
  }

  validation {
    condition     = (length(var.poster_subnet_ids) == 0) == (length(var.poster_security_group_ids) == 0)
    error_message = "poster_subnet_ids and poster_security_group_ids go together."
  }
}

variable "poster_security_group_ids" {
  description = "Security groups of poster in the VPC of `poster_subnet_ids`. Both are given or neither is."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.poster_security_group_ids) <= 5 && alltrue([for id in var.poster_security_group_ids : can(regex("^sg-([0-9a-f]{8}|[0-9a-f]{17})$", id))])
    error_message = "Ids of security groups, 5 at most."
  }
}

variable "generate_root_key" {
  description = "Whether the root key gets a random value when it is created. `false` if you put one there yourself."
  type        = bool
  default     = true
  nullable    = false
}

variable "enforce_tls" {
  description = "Whether the queues refuse plain HTTP. `false` is for emulators."
  type        = bool
  default     = true
  nullable    = false
}

# --- logs and alarms --------------------------------------------------------------------------------------------------

variable "log_level" {
  description = "Least level of a log line: `DEBUG` or `INFO`. What became of an event is told at INFO, and metrics travel as log lines of that level."
  type        = string
  default     = "INFO"
  nullable    = false

  validation {
    condition     = contains(["DEBUG", "INFO"], var.log_level)
    error_message = "DEBUG or INFO."
  }
}

variable "log_retention_days" {
  description = "Days log lines are kept."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "CloudWatch knows 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 and 3653 days."
  }
}

variable "tracing" {
  description = "`Active`: X-Ray records an invocation of each function in each second, and 5 % of what is more. For few events that costs more than all the rest; see docs/deploy.md. `PassThrough`: only what a caller has decided to trace."
  type        = string
  default     = "PassThrough"
  nullable    = false

  validation {
    condition     = contains(["Active", "PassThrough"], var.tracing)
    error_message = "Active or PassThrough."
  }
}

variable "alarm_email" {
  description = "Who is told of alarms. Empty: nobody, until something is subscribed to the topic of the outputs."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.alarm_email == "" || can(regex("^[^@\\s]+@[^@\\s]+$", var.alarm_email))
    error_message = "An address, or nothing."
  }
}
