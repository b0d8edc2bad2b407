# The whole stack from zips that were built here:
#
#   build, check and zip as in ../../README.md        at the root of the repository
#   terraform init && terraform apply                 here

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.29"
    }
  }

  # The state holds names and ARNs, and no secrets. Keep it where your team keeps states all the same.
  # backend "s3" { … }
}

provider "aws" {
  region = var.region
}

variable "region" {
  type    = string
  default = "eu-west-1"
}

variable "alarm_email" {
  type    = string
  default = ""
}

variable "zip_directory" {
  description = "Where cargo lambda has left one directory for each function."
  type        = string
  default     = "../../../../target/lambda"
}

module "commitstatus" {
  source = "../.."

  name  = "commitstatus"
  stage = "prod"
  tags  = { owner = "delivery" }

  zips         = { for name in ["intake", "rules", "poster", "sweeper"] : name => "${var.zip_directory}/${name}/bootstrap.zip" }
  architecture = "arm64"

  alarm_email        = var.alarm_email
  log_retention_days = 90

  # If a Git host of your own is in there:
  # allowed_private_ranges = ["10.20.0.0/16"]
}

output "function_url" {
  value = module.commitstatus.function_url
}

output "connect_first_cluster" {
  value = module.commitstatus.connect_first_cluster
}
