# `prevent_destroy` cannot be a variable. To give a stack up for good, see README.md.

resource "aws_dynamodb_table" "rules" {
  name                        = "${var.name}-rules"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = true
  tags                        = local.tags

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  server_side_encryption {
    enabled = true
  }

  point_in_time_recovery {
    enabled = true
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_dynamodb_table" "statuses" {
  name                        = "${var.name}-statuses"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = true
  tags                        = local.tags

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  attribute {
    name = "due"
    type = "S"
  }

  attribute {
    name = "due_at"
    type = "N"
  }

  attribute {
    name = "commit7"
    type = "S"
  }

  # What is due or parked.
  global_secondary_index {
    name               = "due"
    hash_key           = "due"
    range_key          = "due_at"
    projection_type    = "INCLUDE"
    non_key_attributes = ["credential", "parked", "context"]
  }

  # Commits by their first seven digits. With more than keys in it, each unchanged event would cost a second write.
  global_secondary_index {
    name            = "commit"
    hash_key        = "commit7"
    range_key       = "pk"
    projection_type = "KEYS_ONLY"
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  server_side_encryption {
    enabled = true
  }

  point_in_time_recovery {
    enabled = true
  }

  lifecycle {
    prevent_destroy = true
  }
}
