locals {
  functions = {
    intake = {
      description = "Checks the credential of an event and puts it on the queue"
      # It waits for SQS and little else.
      memory = 128
      # At worst 2.5 s for the root key and 2.5 s for SQS, and a start before them.
      timeout = 10
      environment = {
        EVENTS_QUEUE_URL    = aws_sqs_queue.this["events"].url
        ROOT_KEY_SECRET     = aws_secretsmanager_secret.root_key.name
        MAX_EVENT_AGE_HOURS = tostring(var.max_event_age_hours)
      }
    }
    rules = {
      description = "Decides by the rules what an event changes"
      # It waits for DynamoDB and little else.
      memory = 128
      # Ten events one after the other, each with some calls to DynamoDB; what was not begun in time comes back.
      timeout = 30
      environment = {
        RULES_TABLE     = aws_dynamodb_table.rules.name
        STATUSES_TABLE  = aws_dynamodb_table.statuses.name
        POSTS_QUEUE_URL = aws_sqs_queue.this["posts"].url
      }
    }
    poster = {
      description = "Posts to the Git host what is due"
      # CPU comes with memory, and a TLS handshake with a Git host wants some: docs/performance.md.
      memory = 256
      # Two posts one after the other at worst; well below the 150 s a poster keeps others away from a status.
      timeout = 60
      environment = {
        RULES_TABLE             = aws_dynamodb_table.rules.name
        STATUSES_TABLE          = aws_dynamodb_table.statuses.name
        PROVIDER_SECRETS_PREFIX = "${var.name}/providers"
        ALLOWED_PRIVATE_RANGES  = join(",", var.allowed_private_ranges)
      }
    }
    sweeper = {
      description = "Sends hints for what is due"
      memory      = 128
      # It runs once a minute, and stays for 57 seconds where statuses wait for their turns. Two at once would do no harm:
      # the queue drops the same hint, and due dates are moved on condition.
      timeout = 75
      environment = {
        STATUSES_TABLE  = aws_dynamodb_table.statuses.name
        POSTS_QUEUE_URL = aws_sqs_queue.this["posts"].url
      }
    }
  }
}

resource "aws_lambda_function" "this" {
  for_each = local.functions

  function_name = "${var.name}-${each.key}"
  description   = each.value.description
  role          = aws_iam_role.function[each.key].arn
  runtime       = "provided.al2023"
  handler       = "bootstrap"
  architectures = [var.architecture]
  memory_size   = each.value.memory
  timeout       = each.value.timeout

  filename          = var.zips == null ? null : var.zips[each.key]
  source_code_hash  = var.zips == null ? null : filebase64sha256(var.zips[each.key])
  s3_bucket         = var.s3_bucket
  s3_key            = var.s3_keys == null ? null : var.s3_keys[each.key]
  s3_object_version = var.s3_keys == null ? null : var.s3_object_versions[each.key]

  # Only intake: the mappings of the queues do not know reserved concurrency, and would use up receives. -1 is none.
  reserved_concurrent_executions = each.key == "intake" && var.intake_reserved_concurrency > 0 ? var.intake_reserved_concurrency : -1

  environment {
    variables = merge({ STACK_NAME = var.name }, each.value.environment)
  }

  tracing_config {
    mode = var.tracing
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = var.log_level
    # START, END and REPORT of every invocation would be most of the log.
    system_log_level = "WARN"
    log_group        = aws_cloudwatch_log_group.function[each.key].name
  }

  # Only poster calls hosts that are not AWS's.
  dynamic "vpc_config" {
    for_each = each.key == "poster" && local.poster_in_vpc ? ["poster"] : []

    content {
      subnet_ids         = var.poster_subnet_ids
      security_group_ids = var.poster_security_group_ids
    }
  }

  tags = local.tags

  # Without its policy the first instance could not even write why it fails, and Lambda could not connect it to a VPC.
  depends_on = [aws_iam_role_policy.function, aws_iam_role_policy.poster_network]
}

resource "aws_cloudwatch_log_group" "function" {
  for_each = toset(keys(local.functions))

  name              = "/aws/lambda/${var.name}-${each.key}"
  retention_in_days = var.log_retention_days
  tags              = local.tags
}

# --- the door: intake's address -----------------------------------------------------------------------------------------

# Flux's webhook cannot sign for IAM; intake checks a signature or a token of its own.
resource "aws_lambda_function_url" "intake" {
  function_name      = aws_lambda_function.this["intake"].function_name
  authorization_type = "NONE"
  invoke_mode        = "BUFFERED"
}

# A public URL needs both permissions. The provider adds statements like these when it makes the URL
# (FunctionURLAllowPublicAccess, FunctionURLAllowInvokeAction), but neither keeps them in the state nor mends or removes
# them. These here it does; their ids must be others.
resource "aws_lambda_permission" "url" {
  statement_id           = "IntakeUrl"
  action                 = "lambda:InvokeFunctionUrl"
  function_name          = aws_lambda_function.this["intake"].function_name
  principal              = "*"
  function_url_auth_type = "NONE"
}

resource "aws_lambda_permission" "invoke_via_url" {
  statement_id             = "IntakeInvokedViaUrl"
  action                   = "lambda:InvokeFunction"
  function_name            = aws_lambda_function.this["intake"].function_name
  principal                = "*"
  invoked_via_function_url = true
}

# --- what makes the others run ------------------------------------------------------------------------------------------

resource "aws_lambda_event_source_mapping" "this" {
  for_each = {
    rules  = { queue = "events", maximum_concurrency = var.rules_maximum_concurrency }
    poster = { queue = "posts", maximum_concurrency = var.poster_maximum_concurrency }
  }

  function_name           = aws_lambda_function.this[each.key].arn
  event_source_arn        = aws_sqs_queue.this[each.value.queue].arn
  batch_size              = 10
  function_response_types = ["ReportBatchItemFailures"]
  enabled                 = true
  tags                    = local.tags

  scaling_config {
    maximum_concurrency = each.value.maximum_concurrency
  }
}

resource "aws_scheduler_schedule" "sweep" {
  name                = "${var.name}-sweep"
  description         = "Once a minute"
  schedule_expression = "rate(1 minute)"
  state               = "ENABLED"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.this["sweeper"].arn
    role_arn = aws_iam_role.sweep_schedule.arn

    # The next minute does what this one did not.
    retry_policy {
      maximum_event_age_in_seconds = 60
      maximum_retry_attempts       = 0
    }
  }
}

# The schedule only puts an event on Lambda's own queue. Left alone, Lambda would try a sweep that failed twice again, and
# keep throttled ones for six hours; the next minute does what this one did not.
resource "aws_lambda_function_event_invoke_config" "sweeper" {
  function_name                = aws_lambda_function.this["sweeper"].function_name
  qualifier                    = "$LATEST"
  maximum_event_age_in_seconds = 60
  maximum_retry_attempts       = 0
}
