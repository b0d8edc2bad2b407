# The stack from zips a pipeline has put into a bucket, below the release's own prefix: zips/v1.2.3/intake.zip …

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.29"
    }
  }
}

provider "aws" {
  region = "eu-west-1"
}

variable "bucket" {
  type = string
}

variable "release" {
  description = "Another release is another key, and that is how Terraform sees it."
  type        = string
}

module "commitstatus" {
  source = "../.."

  name  = "commitstatus"
  stage = "prod"

  s3_bucket    = var.bucket
  s3_keys      = { for name in ["intake", "rules", "poster", "sweeper"] : name => "zips/${var.release}/${name}.zip" }
  architecture = "arm64"
}

# Who runs the operator's tool may do what it calls, and no more.
resource "aws_iam_role_policy_attachment" "operator" {
  role       = "operators"
  policy_arn = module.commitstatus.operator_policy_arn
}

output "function_url" {
  value = module.commitstatus.function_url
}
