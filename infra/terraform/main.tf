# Flux commit statuses. The same stack as ../template.yaml; README.md names the differences.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region
  account   = data.aws_caller_identity.current.account_id

  tags = merge(var.tags, { stage = var.stage })

  poster_in_vpc = length(var.poster_subnet_ids) > 0

  # The secrets of Providers come and go with them; nobody else's name begins so.
  # Six characters, which Secrets Manager draws: the root key, also if it was lost and made anew.
  root_key         = "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${var.name}/root-key-??????"
  provider_secrets = "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${var.name}/providers/*"
}
