output "function_url" {
  description = "Where clusters send their events"
  value       = aws_lambda_function_url.intake.function_url
}

output "rules_table_name" {
  description = "Clusters, rules and Providers"
  value       = aws_dynamodb_table.rules.name
}

output "statuses_table_name" {
  description = "What each status should say, and what the host was told"
  value       = aws_dynamodb_table.statuses.name
}

output "events_queue_name" {
  description = "Events on their way to rules"
  value       = aws_sqs_queue.this["events"].name
}

output "posts_queue_name" {
  description = "Hints on their way to poster"
  value       = aws_sqs_queue.this["posts"].name
}

output "events_dead_queue_name" {
  description = "Events that were received too often"
  value       = aws_sqs_queue.dead["events"].name
}

output "posts_dead_queue_name" {
  description = "Hints that were received too often"
  value       = aws_sqs_queue.dead["posts"].name
}

output "root_key_secret" {
  description = "The secret all keys of clusters are derived from"
  value       = aws_secretsmanager_secret.root_key.arn
}

output "alarm_topic_arn" {
  description = "What alarms are sent to"
  value       = aws_sns_topic.alarms.arn
}

output "operator_policy_arn" {
  description = "What the operator's tool may do - attach it to who runs it"
  value       = aws_iam_policy.operator.arn
}

output "connect_first_cluster" {
  description = "Registers a cluster named dev and tells it where to send its events"
  value       = "export COMMITSTATUS_STACK=${var.name} COMMITSTATUS_URL=${aws_lambda_function_url.intake.function_url}; commitstatus cluster add dev && commitstatus connect dev | kubectl apply -f -"
}
