locals {
  # Every value a dimension has had, found by CloudWatch itself.
  search = {
    for metric, dimensions in {
      Requests = "Stack,Outcome"
      Verdicts = "Stack,Outcome"
      Outcomes = "Stack,Outcome"
      Calls    = "Stack,Host,Class"
      Failures = "Stack,Function,Outcome"
      } : metric => [[{
        expression = "SEARCH('{CommitStatus,${dimensions}} MetricName=\"${metric}\" Stack=\"${var.name}\"', 'Sum', 300)"
        id         = "e1"
    }]]
  }

  each_function = ["intake", "rules", "poster", "sweeper"]

  # Three in a row.
  widgets = [
    {
      title   = "Requests by answer"
      metrics = local.search["Requests"]
    },
    {
      title   = "Verdicts"
      metrics = local.search["Verdicts"]
    },
    {
      title   = "How changes end or wait"
      metrics = local.search["Outcomes"]
    },
    {
      title   = "Calls to each Git host"
      metrics = local.search["Calls"]
    },
    {
      title = "From event to posted status"
      axis  = { min = 0, label = "ms", showUnits = false }
      metrics = [
        ["CommitStatus", "EventToPosted", "Stack", var.name, { stat = "p50", label = "p50" }],
        ["...", { stat = "p99", label = "p99" }],
      ]
    },
    {
      title = "Due and parked"
      stat  = "Maximum"
      metrics = [
        ["CommitStatus", "Due", "Stack", var.name],
        ["CommitStatus", "Parked", "Stack", var.name],
      ]
    },
    {
      title   = "Messages that come back"
      metrics = local.search["Failures"]
    },
    {
      title = "Credentials"
      metrics = [
        ["CommitStatus", "CredentialsRefused", "Stack", var.name, { label = "refused" }],
        ["CommitStatus", "RateLimits", "Stack", var.name, { label = "too fast" }],
      ]
    },
    {
      title = "Dead letters"
      stat  = "Maximum"
      metrics = [
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", aws_sqs_queue.dead["events"].name, { label = "events" }],
        ["...", aws_sqs_queue.dead["posts"].name, { label = "hints" }],
      ]
    },
    {
      title = "Oldest message"
      stat  = "Maximum"
      axis  = { min = 0, label = "s", showUnits = false }
      metrics = [
        ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", aws_sqs_queue.this["events"].name, { label = "events" }],
        ["...", aws_sqs_queue.this["posts"].name, { label = "hints" }],
      ]
    },
    {
      title = "Errors and throttles"
      metrics = concat([
        for key in local.each_function : [
          ["AWS/Lambda", "Errors", "FunctionName", aws_lambda_function.this[key].function_name, { label = "${key} errors" }],
          ["AWS/Lambda", "Throttles", "FunctionName", aws_lambda_function.this[key].function_name, { label = "${key} throttles" }],
        ]
      ]...)
    },
    {
      title = "Duration p99"
      stat  = "p99"
      axis  = { min = 0, label = "ms", showUnits = false }
      metrics = [
        for key in local.each_function :
        ["AWS/Lambda", "Duration", "FunctionName", aws_lambda_function.this[key].function_name, { label = key }]
      ]
    },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [
      for index, widget in local.widgets : {
        type   = "metric"
        x      = index % 3 * 8
        y      = floor(index / 3) * 6
        width  = 8
        height = 6
        properties = {
          title   = widget.title
          region  = local.region
          view    = "timeSeries"
          stacked = false
          stat    = lookup(widget, "stat", "Sum")
          period  = 300
          metrics = widget.metrics
          yAxis   = { left = lookup(widget, "axis", { min = 0 }) }
        }
      }
    ]
  })
}
