terraform {
  # Write-only arguments: the root key's value must not be in the state.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # aws_lambda_permission.invoked_via_function_url
      version = ">= 6.29"
    }
  }
}
