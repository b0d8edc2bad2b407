# All keys of clusters are derived from this secret. Its value is made once and never again: every cluster would need a
# new key. `commitstatus root-key rotate` replaces it.

resource "aws_secretsmanager_secret" "root_key" {
  name                    = "${var.name}/root-key"
  description             = "All keys of clusters are derived from it. Not to be changed by hand - see commitstatus root-key."
  recovery_window_in_days = 30
  tags                    = local.tags

  lifecycle {
    prevent_destroy = true
  }
}

# Ephemeral, and handed on in a write-only argument: the value is in neither the state nor a plan.
ephemeral "aws_secretsmanager_random_password" "root_key" {
  count = var.generate_root_key ? 1 : 0

  password_length     = 64
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret_version" "root_key" {
  count = var.generate_root_key ? 1 : 0

  secret_id                = aws_secretsmanager_secret.root_key.arn
  secret_string_wo         = ephemeral.aws_secretsmanager_random_password.root_key[0].random_password
  secret_string_wo_version = 1

  # After two rotations this version has neither AWSCURRENT nor AWSPREVIOUS. Versions without any label AWS may remove,
  # and Terraform would make what is gone again: a root key nobody has asked for. A label of its own keeps it. Nothing
  # accepts it any more all the same.
  version_stages = ["AWSCURRENT", "first"]

  lifecycle {
    # Where AWSCURRENT is, is the operator's business: Terraform must not move it back.
    ignore_changes  = [secret_string_wo_version, version_stages]
    prevent_destroy = true
  }
}
