locals {
  # What each function calls, and nothing else.
  calls = {
    intake = [
      {
        actions   = ["sqs:SendMessage"]
        resources = [aws_sqs_queue.this["events"].arn]
      },
      {
        actions   = ["secretsmanager:GetSecretValue"]
        resources = [local.root_key]
      },
    ]
    rules = [
      {
        actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
        resources = [aws_sqs_queue.this["events"].arn]
      },
      {
        actions   = ["dynamodb:GetItem", "dynamodb:Query"]
        resources = [aws_dynamodb_table.rules.arn]
      },
      {
        actions   = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
        resources = [aws_dynamodb_table.statuses.arn]
      },
      {
        actions   = ["sqs:SendMessage"]
        resources = [aws_sqs_queue.this["posts"].arn]
      },
    ]
    poster = [
      {
        actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
        resources = [aws_sqs_queue.this["posts"].arn]
      },
      {
        actions   = ["dynamodb:GetItem"]
        resources = [aws_dynamodb_table.rules.arn]
      },
      {
        actions   = ["dynamodb:GetItem", "dynamodb:UpdateItem"]
        resources = [aws_dynamodb_table.statuses.arn]
      },
      {
        actions   = ["secretsmanager:GetSecretValue"]
        resources = [local.provider_secrets]
      },
    ]
    sweeper = [
      {
        actions   = ["dynamodb:Query"]
        resources = ["${aws_dynamodb_table.statuses.arn}/index/due"]
      },
      {
        actions   = ["dynamodb:UpdateItem"]
        resources = [aws_dynamodb_table.statuses.arn]
      },
      {
        actions   = ["sqs:SendMessage"]
        resources = [aws_sqs_queue.this["posts"].arn]
      },
    ]
  }
}

resource "aws_iam_role" "function" {
  for_each = local.calls

  # IAM has no regions; names would meet.
  name        = "${var.name}-${each.key}-${local.region}"
  description = "What ${each.key} calls, and nothing else"
  tags        = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "function" {
  for_each = local.calls

  name = "calls"
  role = aws_iam_role.function[each.key].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [for call in each.value : { Effect = "Allow", Action = call.actions, Resource = call.resources }],
      [
        {
          Effect = "Allow"
          Action = ["logs:CreateLogStream", "logs:PutLogEvents"]
          # Its streams.
          Resource = ["${aws_cloudwatch_log_group.function[each.key].arn}:*"]
        },
        {
          Effect = "Allow"
          Action = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
          # X-Ray has no resources to name.
          Resource = ["*"]
        },
      ],
    )
  })
}

# Lambda connects a function to a VPC with the role of the function.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
resource "aws_iam_role_policy" "poster_network" {
  count = local.poster_in_vpc ? 1 : 0

  name = "network"
  role = aws_iam_role.function["poster"].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = [
          "ec2:CreateNetworkInterface",
          "ec2:DeleteNetworkInterface",
          "ec2:AssignPrivateIpAddresses",
          "ec2:UnassignPrivateIpAddresses",
        ]
        # Lambda wants to be allowed all of them, or the function may not reach the VPC.
        Resource = ["arn:${local.partition}:ec2:${local.region}:${local.account}:*/*"]
      },
      {
        Effect = "Allow"
        Action = ["ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"]
        # EC2 has no resources to name for what describes.
        Resource = ["*"]
      },
      # Lambda needs them, the code does not: calls that come from inside the function are denied.
      {
        Sid    = "NotByTheCode"
        Effect = "Deny"
        Action = [
          "ec2:CreateNetworkInterface",
          "ec2:DeleteNetworkInterface",
          "ec2:DescribeNetworkInterfaces",
          "ec2:DescribeSubnets",
          "ec2:DetachNetworkInterface",
          "ec2:AssignPrivateIpAddresses",
          "ec2:UnassignPrivateIpAddresses",
        ]
        Resource = ["*"]
        Condition = {
          ArnEquals = {
            # Not the function's attribute: it waits for this policy.
            "lambda:SourceFunctionArn" = "arn:${local.partition}:lambda:${local.region}:${local.account}:function:${var.name}-poster"
          }
        }
      },
    ]
  })
}

# --- lets the schedule run the sweeper ----------------------------------------------------------------------------------

resource "aws_iam_role" "sweep_schedule" {
  name        = "${var.name}-sweep-schedule-${local.region}"
  description = "Lets the schedule run the sweeper"
  tags        = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "sweep_schedule" {
  name = "calls"
  role = aws_iam_role.sweep_schedule.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["lambda:InvokeFunction"]
      Resource = [aws_lambda_function.this["sweeper"].arn]
    }]
  })
}

# --- who operates it ----------------------------------------------------------------------------------------------------

# What the tool `commitstatus` calls. To be attached to the people and pipelines that run it.
resource "aws_iam_policy" "operator" {
  name        = "${var.name}-operator-${local.region}"
  description = "What the operator's tool calls on the stack ${var.name}"
  tags        = local.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "Rules"
        Effect = "Allow"
        Action = [
          "dynamodb:ConditionCheckItem",
          "dynamodb:DeleteItem",
          "dynamodb:GetItem",
          "dynamodb:PutItem",
          "dynamodb:Query",
          "dynamodb:Scan",
          "dynamodb:UpdateItem",
        ]
        Resource = [aws_dynamodb_table.rules.arn]
      },
      {
        Sid    = "Statuses"
        Effect = "Allow"
        Action = [
          "dynamodb:BatchGetItem",
          "dynamodb:GetItem",
          "dynamodb:Scan",
          "dynamodb:UpdateItem",
        ]
        Resource = [aws_dynamodb_table.statuses.arn]
      },
      {
        Sid    = "StatusIndexes"
        Effect = "Allow"
        Action = ["dynamodb:Query"]
        Resource = [
          "${aws_dynamodb_table.statuses.arn}/index/due",
          "${aws_dynamodb_table.statuses.arn}/index/commit",
        ]
      },
      {
        Sid      = "FindQueues"
        Effect   = "Allow"
        Action   = ["sqs:GetQueueUrl"]
        Resource = concat(values(aws_sqs_queue.this)[*].arn, values(aws_sqs_queue.dead)[*].arn)
      },
      {
        Sid    = "DeadLetters"
        Effect = "Allow"
        Action = [
          "sqs:ChangeMessageVisibility",
          "sqs:DeleteMessage",
          "sqs:GetQueueAttributes",
          "sqs:ReceiveMessage",
        ]
        Resource = values(aws_sqs_queue.dead)[*].arn
      },
      {
        Sid    = "Redrive"
        Effect = "Allow"
        Action = [
          "sqs:GetQueueAttributes",
          "sqs:SendMessage",
        ]
        Resource = values(aws_sqs_queue.this)[*].arn
      },
      {
        Sid    = "RootKey"
        Effect = "Allow"
        Action = [
          "secretsmanager:CreateSecret",
          "secretsmanager:GetSecretValue",
          "secretsmanager:ListSecretVersionIds",
          "secretsmanager:PutSecretValue",
          "secretsmanager:UpdateSecretVersionStage",
        ]
        Resource = [local.root_key]
      },
      {
        Sid    = "ProviderSecrets"
        Effect = "Allow"
        Action = [
          "secretsmanager:CreateSecret",
          "secretsmanager:GetSecretValue",
          "secretsmanager:PutSecretValue",
        ]
        Resource = [local.provider_secrets]
      },
    ]
  })
}
