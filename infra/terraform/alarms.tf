# Not encrypted with a key of AWS: CloudWatch may not use that, and alarms would be lost. They hold no secrets.
resource "aws_sns_topic" "alarms" {
  name         = "${var.name}-alarms"
  display_name = "${var.name} (${var.stage})"
  tags         = local.tags
}

resource "aws_sns_topic_subscription" "alarm_email" {
  count = var.alarm_email == "" ? 0 : 1

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

# --- what an alarm does not say: the sum of five minutes, once, above its threshold; no data is no news ------------------

locals {
  alarms = {
    events-dead = {
      description = "There are dead letters of events. See Dead letters in docs/operations.md."
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = aws_sqs_queue.dead["events"].name }
      statistic   = "Maximum"
      period      = 60
      threshold   = 0
    }
    posts-dead = {
      description = "There are dead letters of hints. See Dead letters in docs/operations.md."
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = aws_sqs_queue.dead["posts"].name }
      statistic   = "Maximum"
      period      = 60
      threshold   = 0
    }
    events-wait = {
      description = "Events wait for more than ten minutes. Rules or its table does not work."
      namespace   = "AWS/SQS"
      metric      = "ApproximateAgeOfOldestMessage"
      dimensions  = { QueueName = aws_sqs_queue.this["events"].name }
      statistic   = "Maximum"
      period      = 60
      periods     = 3
      threshold   = 600
    }
    posts-wait = {
      description = "Hints wait for more than ten minutes. Poster does not work."
      namespace   = "AWS/SQS"
      metric      = "ApproximateAgeOfOldestMessage"
      dimensions  = { QueueName = aws_sqs_queue.this["posts"].name }
      statistic   = "Maximum"
      period      = 60
      periods     = 3
      threshold   = 600
    }
    intake-5xx = {
      description = "Intake answers 5xx. Flux gives an event up after a minute."
      namespace   = "AWS/Lambda"
      metric      = "Url5xxCount"
      dimensions  = { FunctionName = aws_lambda_function.this["intake"].function_name }
      threshold   = 4
    }
    intake-refuses = {
      description = "Many requests with a wrong signature or token - a cluster that missed a rotation, or a stranger."
      namespace   = "CommitStatus"
      metric      = "Requests"
      dimensions  = { Stack = var.name, Outcome = "unauthorized" }
      period      = 600
      threshold   = 20
    }
    rules-failing = {
      description = "Events come back for twenty minutes. DynamoDB or SQS does not answer rules. See its log."
      namespace   = "CommitStatus"
      metric      = "Failures"
      dimensions  = { Stack = var.name, Function = "rules", Outcome = "failed" }
      period      = 600
      periods     = 2
      threshold   = 0
    }
    poster-failing = {
      description = "Hints come back for twenty minutes. DynamoDB or Secrets Manager does not answer poster. See its log."
      namespace   = "CommitStatus"
      metric      = "Failures"
      dimensions  = { Stack = var.name, Function = "poster", Outcome = "failed" }
      period      = 600
      periods     = 2
      threshold   = 0
    }
    events-malformed = {
      description = "Messages that are none of ours are on the queue of events. Look who may send to it."
      namespace   = "CommitStatus"
      metric      = "Failures"
      dimensions  = { Stack = var.name, Function = "rules", Outcome = "malformed" }
      threshold   = 0
    }
    posts-malformed = {
      description = "Messages that are none of ours are on the queue of hints. Look who may send to it."
      namespace   = "CommitStatus"
      metric      = "Failures"
      dimensions  = { Stack = var.name, Function = "poster", Outcome = "malformed" }
      threshold   = 0
    }
    sweeper-stopped = {
      description = "The sweeper does not run. Retries and lost hints wait for it."
      namespace   = "AWS/Lambda"
      metric      = "Invocations"
      dimensions  = { FunctionName = aws_lambda_function.this["sweeper"].function_name }
      comparison  = "LessThanThreshold"
      threshold   = 1
      # Silence is what it is about.
      missing = "breaching"
    }
    sweeps-failed = {
      description = "Sweeps fail. See the log of sweeper."
      namespace   = "CommitStatus"
      metric      = "Sweeps"
      dimensions  = { Stack = var.name, Outcome = "failed" }
      threshold   = 2
    }
    parked = {
      description = "Statuses are parked, and a person has to mend something. See commitstatus get parked."
      namespace   = "CommitStatus"
      metric      = "Parked"
      dimensions  = { Stack = var.name }
      statistic   = "Maximum"
      threshold   = 0
      # What is parked stays so while the sweeper does not count.
      missing = "ignore"
    }
    credentials-refused = {
      description = "A Git host refuses a credential, or there is none. Nothing is posted with it."
      namespace   = "CommitStatus"
      metric      = "CredentialsRefused"
      dimensions  = { Stack = var.name }
      # It is tried again every half hour at the latest: not all right in between.
      period    = 2100
      threshold = 0
    }
    rate-limits = {
      description = "A Git host says again and again that posts come too fast. Others may use the credential too."
      namespace   = "CommitStatus"
      metric      = "RateLimits"
      dimensions  = { Stack = var.name }
      period      = 3600
      threshold   = 5
    }
    collisions = {
      description = "Two objects write the same status. See collision in docs/errors.md."
      namespace   = "CommitStatus"
      metric      = "Collisions"
      dimensions  = { Stack = var.name }
      period      = 86400
      threshold   = 0
    }
  }
  errors = {
    for key in keys(local.functions) : "${key}-errors" => {
      description = "${title(key)} crashes or runs out of time. See its log."
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = aws_lambda_function.this[key].function_name }
      threshold   = 0
    }
  }

  throttles = {
    for key in keys(local.functions) : "${key}-throttles" => {
      description = "${title(key)} is throttled. The account or the function has too little concurrency."
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.this[key].function_name }
      threshold   = 0
    }
  }

  tables = { rules = aws_dynamodb_table.rules.name, statuses = aws_dynamodb_table.statuses.name }

  read_throttles = {
    for key, table in local.tables : "${key}-table-read-throttles" => {
      description = "DynamoDB throttles reads of the table ${key}, and everything waits for it."
      namespace   = "AWS/DynamoDB"
      metric      = "ReadThrottleEvents"
      dimensions  = { TableName = table }
      threshold   = 0
    }
  }

  write_throttles = {
    for key, table in local.tables : "${key}-table-write-throttles" => {
      description = "DynamoDB throttles writes to the table ${key}, and everything waits for it."
      namespace   = "AWS/DynamoDB"
      metric      = "WriteThrottleEvents"
      dimensions  = { TableName = table }
      threshold   = 0
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = merge(local.alarms, local.errors, local.throttles, local.read_throttles, local.write_throttles)

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "[${var.stage}] ${each.value.description}"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = lookup(each.value, "statistic", "Sum")
  period              = lookup(each.value, "period", 300)
  evaluation_periods  = lookup(each.value, "periods", 1)
  threshold           = each.value.threshold
  comparison_operator = lookup(each.value, "comparison", "GreaterThanThreshold")
  treat_missing_data  = lookup(each.value, "missing", "notBreaching")
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = local.tags
}
