locals {
  queues = {
    # A group is an object of a cluster.
    events = {
      # 256 KiB of an event, in ASCII.
      max_message_size = 1048576
      # Six times the timeout of rules: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
      visibility_timeout = 180
      # Times the visibility it is 12.5 hours: half a day without DynamoDB loses nothing, and needs nobody.
      max_receive_count = 250
    }
    # A group is a commit of a repository: writes on one commit never overlap.
    posts = {
      # A hint is two keys.
      max_message_size = 16384
      # Six times the timeout of poster.
      visibility_timeout = 360
      # A hint says nothing the table does not know, and the sweeper sends another one.
      max_receive_count = 10
    }
  }
}

resource "aws_sqs_queue" "this" {
  for_each = local.queues

  name       = "${var.name}-${each.key}.fifo"
  fifo_queue = true
  # High throughput: order and duplicates within a group only.
  deduplication_scope         = "messageGroup"
  fifo_throughput_limit       = "perMessageGroupId"
  content_based_deduplication = false
  max_message_size            = each.value.max_message_size
  message_retention_seconds   = 1209600
  visibility_timeout_seconds  = each.value.visibility_timeout
  sqs_managed_sse_enabled     = true

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead[each.key].arn
    maxReceiveCount     = each.value.max_receive_count
  })

  tags = local.tags
}

resource "aws_sqs_queue" "dead" {
  for_each = local.queues

  name                        = "${var.name}-${each.key}-dead.fifo"
  fifo_queue                  = true
  deduplication_scope         = "messageGroup"
  fifo_throughput_limit       = "perMessageGroupId"
  content_based_deduplication = false
  max_message_size            = each.value.max_message_size
  message_retention_seconds   = 1209600
  sqs_managed_sse_enabled     = true

  # By name: the queue itself names this one.
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = ["arn:${local.partition}:sqs:${local.region}:${local.account}:${var.name}-${each.key}.fifo"]
  })

  tags = local.tags
}

resource "aws_sqs_queue_policy" "this" {
  for_each = var.enforce_tls ? local.queues : {}

  queue_url = aws_sqs_queue.this[each.key].url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = aws_sqs_queue.this[each.key].arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

resource "aws_sqs_queue_policy" "dead" {
  for_each = var.enforce_tls ? local.queues : {}

  queue_url = aws_sqs_queue.dead[each.key].url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = aws_sqs_queue.dead[each.key].arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}
