# terraform init -backend=false && terraform test
#
# Plans only, and nothing is reached: no credentials are needed, and any file will do for a zip. Terraform's mocks would be
# the natural way, but they refuse every module with an ephemeral resource (seen with 1.11.4). What is compared with
# ../template.yaml value by value is not repeated here (tests/terraform).

provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

override_data {
  target = data.aws_caller_identity.current
  values = { account_id = "111122223333" }
}

override_data {
  target = data.aws_partition.current
  values = { partition = "aws" }
}

override_data {
  target = data.aws_region.current
  values = { region = "eu-west-1" }
}

variables {
  name = "demo"
  zips = { intake = "main.tf", rules = "main.tf", poster = "main.tf", sweeper = "main.tf" }

  # A plan would ask Secrets Manager for a random value.
  generate_root_key = false
}

run "names_begin_with_the_stack" {
  command = plan

  assert {
    condition     = [for it in aws_lambda_function.this : it.function_name] == ["demo-intake", "demo-poster", "demo-rules", "demo-sweeper"]
    error_message = "Functions are called otherwise."
  }

  assert {
    condition     = [for it in merge({ for k, v in aws_sqs_queue.this : k => v }, { for k, v in aws_sqs_queue.dead : "${k}-dead" => v }) : it.name] == ["demo-events.fifo", "demo-events-dead.fifo", "demo-posts.fifo", "demo-posts-dead.fifo"]
    error_message = "Queues are called otherwise."
  }

  assert {
    condition     = [aws_dynamodb_table.rules.name, aws_dynamodb_table.statuses.name, aws_secretsmanager_secret.root_key.name] == ["demo-rules", "demo-statuses", "demo/root-key"]
    error_message = "Tables or the root key are called otherwise."
  }

  assert {
    condition     = [for it in aws_cloudwatch_log_group.function : it.name] == ["/aws/lambda/demo-intake", "/aws/lambda/demo-poster", "/aws/lambda/demo-rules", "/aws/lambda/demo-sweeper"]
    error_message = "Log groups are called otherwise."
  }
}

run "each_function_has_its_environment" {
  command = plan

  assert {
    condition     = join(" ", keys(aws_lambda_function.this["intake"].environment[0].variables)) == "EVENTS_QUEUE_URL MAX_EVENT_AGE_HOURS ROOT_KEY_SECRET STACK_NAME"
    error_message = "Intake has another environment."
  }

  assert {
    condition     = join(" ", keys(aws_lambda_function.this["rules"].environment[0].variables)) == "POSTS_QUEUE_URL RULES_TABLE STACK_NAME STATUSES_TABLE"
    error_message = "Rules has another environment."
  }

  assert {
    condition     = join(" ", keys(aws_lambda_function.this["poster"].environment[0].variables)) == "ALLOWED_PRIVATE_RANGES PROVIDER_SECRETS_PREFIX RULES_TABLE STACK_NAME STATUSES_TABLE"
    error_message = "Poster has another environment."
  }

  assert {
    condition     = join(" ", keys(aws_lambda_function.this["sweeper"].environment[0].variables)) == "POSTS_QUEUE_URL STACK_NAME STATUSES_TABLE"
    error_message = "Sweeper has another environment."
  }
}

run "by_default" {
  command = plan

  assert {
    condition     = [for it in aws_lambda_function.this : it.architectures[0]] == ["arm64", "arm64", "arm64", "arm64"]
    error_message = "Not arm64."
  }

  assert {
    condition     = [for it in aws_lambda_function.this : it.reserved_concurrent_executions] == [-1, -1, -1, -1]
    error_message = "Concurrency is reserved."
  }

  assert {
    condition     = length(aws_sqs_queue_policy.this) == 2 && length(aws_sqs_queue_policy.dead) == 2
    error_message = "A queue takes plain HTTP."
  }

  assert {
    condition     = length(aws_sns_topic_subscription.alarm_email) == 0
    error_message = "Somebody is subscribed."
  }

  assert {
    condition     = aws_lambda_permission.url.function_url_auth_type == "NONE" && aws_lambda_permission.invoke_via_url.invoked_via_function_url
    error_message = "The URL lacks a permission, or gives one too many."
  }

  assert {
    condition     = alltrue([for it in aws_lambda_function.this : length(it.vpc_config) == 0]) && length(aws_iam_role_policy.poster_network) == 0
    error_message = "A function is in a VPC, or may be."
  }
}

run "poster_in_a_vpc" {
  command = plan

  variables {
    poster_subnet_ids         = ["subnet-0123456789abcdef0", "subnet-0a1b2c3d"]
    poster_security_group_ids = ["sg-0123456789abcdef0"]
  }

  assert {
    condition     = { for key, it in aws_lambda_function.this : key => length(it.vpc_config) } == { intake = 0, poster = 1, rules = 0, sweeper = 0 }
    error_message = "Not poster alone is in the VPC."
  }

  assert {
    condition     = aws_lambda_function.this["poster"].vpc_config[0].subnet_ids == toset(["subnet-0123456789abcdef0", "subnet-0a1b2c3d"]) && aws_lambda_function.this["poster"].vpc_config[0].security_group_ids == toset(["sg-0123456789abcdef0"])
    error_message = "Poster is elsewhere."
  }

  assert {
    condition     = [for it in jsondecode(aws_iam_role_policy.poster_network[0].policy).Statement : it.Effect] == ["Allow", "Allow", "Deny"]
    error_message = "Lambda may not connect poster, or its code may do the same."
  }
}

run "subnets_without_security_groups" {
  command = plan

  variables {
    poster_subnet_ids = ["subnet-0a1b2c3d"]
  }

  expect_failures = [var.poster_subnet_ids]
}

run "a_security_group_by_its_name" {
  command = plan

  variables {
    poster_subnet_ids         = ["subnet-0a1b2c3d"]
    poster_security_group_ids = ["default"]
  }

  expect_failures = [var.poster_security_group_ids]
}

run "security_groups_without_subnets" {
  command = plan

  variables {
    poster_security_group_ids = ["sg-0a1b2c3d"]
  }

  expect_failures = [var.poster_subnet_ids]
}

run "everything_else" {
  command = plan

  variables {
    stage                       = "dev"
    architecture                = "x86_64"
    intake_reserved_concurrency = 20
    poster_maximum_concurrency  = 50
    allowed_private_ranges      = ["10.20.0.0/16", "fd00::/8"]
    enforce_tls                 = false
    alarm_email                 = "oncall@example.com"
    log_retention_days          = 7
    tags                        = { team = "delivery" }
  }

  assert {
    condition     = { for key, it in aws_lambda_function.this : key => it.reserved_concurrent_executions } == { intake = 20, poster = -1, rules = -1, sweeper = -1 }
    error_message = "Only intake has reserved concurrency."
  }

  assert {
    condition     = [for it in aws_lambda_function.this : it.architectures[0]] == ["x86_64", "x86_64", "x86_64", "x86_64"]
    error_message = "Not all are x86_64."
  }

  assert {
    condition     = aws_lambda_function.this["poster"].environment[0].variables["ALLOWED_PRIVATE_RANGES"] == "10.20.0.0/16,fd00::/8"
    error_message = "The ranges are written otherwise."
  }

  assert {
    condition     = { for key, it in aws_lambda_event_source_mapping.this : key => it.scaling_config[0].maximum_concurrency } == { poster = 50, rules = 3 }
    error_message = "A mapping has another concurrency."
  }

  assert {
    condition     = length(aws_sqs_queue_policy.this) == 0 && length(aws_sqs_queue_policy.dead) == 0
    error_message = "Plain HTTP is still refused."
  }

  assert {
    condition     = aws_sns_topic_subscription.alarm_email[0].endpoint == "oncall@example.com"
    error_message = "Somebody else is subscribed, or nobody."
  }

  assert {
    condition     = alltrue([for it in aws_cloudwatch_log_group.function : it.retention_in_days == 7])
    error_message = "Logs are kept otherwise."
  }

  assert {
    condition     = aws_dynamodb_table.rules.tags == tomap({ stage = "dev", team = "delivery" })
    error_message = "Tags are others."
  }

  assert {
    condition     = startswith(aws_cloudwatch_metric_alarm.this["parked"].alarm_description, "[dev] ")
    error_message = "An alarm does not name its stage."
  }
}

run "code_from_a_bucket" {
  command = plan

  variables {
    zips               = null
    s3_bucket          = "releases"
    s3_keys            = { intake = "r1/intake.zip", rules = "r1/rules.zip", poster = "r1/poster.zip", sweeper = "r1/sweeper.zip" }
    s3_object_versions = { poster = "v7" }
  }

  assert {
    condition     = { for key, it in aws_lambda_function.this : key => it.s3_key } == { intake = "r1/intake.zip", poster = "r1/poster.zip", rules = "r1/rules.zip", sweeper = "r1/sweeper.zip" }
    error_message = "A function has other code."
  }

  assert {
    condition     = aws_lambda_function.this["poster"].s3_object_version == "v7" && aws_lambda_function.this["intake"].s3_object_version == null
    error_message = "A function has another version of its object."
  }

  assert {
    condition     = alltrue([for it in aws_lambda_function.this : it.filename == null && it.s3_bucket == "releases"])
    error_message = "A function has no code of the bucket."
  }
}

run "no_code" {
  command = plan

  variables {
    zips = null
  }

  expect_failures = [var.zips]
}

run "code_twice" {
  command = plan

  variables {
    s3_bucket = "releases"
    s3_keys   = { intake = "i", rules = "r", poster = "p", sweeper = "s" }
  }

  expect_failures = [var.zips]
}

run "a_bucket_without_keys" {
  command = plan

  variables {
    s3_bucket = "releases"
  }

  expect_failures = [var.s3_bucket]
}

run "a_name_that_is_too_long" {
  command = plan

  variables {
    name = "a-name-that-is-longer-than-roles-can-take"
  }

  expect_failures = [var.name]
}

run "values_that_cannot_be" {
  command = plan

  variables {
    stage                       = "Production"
    architecture                = "arm"
    intake_reserved_concurrency = -1
    rules_maximum_concurrency   = 1
    poster_maximum_concurrency  = 1001
    max_event_age_hours         = 0
    allowed_private_ranges      = ["10.20.0.0"]
    poster_subnet_ids           = ["vpc-0a1b2c3d"]
    poster_security_group_ids   = ["sg-0a1b2c3d"]
    log_level                   = "WARN"
    log_retention_days          = 31
    alarm_email                 = "nobody"
    tracing                     = "Disabled"
  }

  expect_failures = [
    var.stage,
    var.architecture,
    var.intake_reserved_concurrency,
    var.rules_maximum_concurrency,
    var.poster_maximum_concurrency,
    var.max_event_age_hours,
    var.allowed_private_ranges,
    var.poster_subnet_ids,
    var.log_level,
    var.log_retention_days,
    var.alarm_email,
    var.tracing,
  ]
}
