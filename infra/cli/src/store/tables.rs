//! The tables themselves, for where no template makes them.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TimeToLiveSpecification,
};
use shared::item::{COMMIT_INDEX, COMMIT7, DUE, DUE_AT, DUE_INDEX, PK, SK, TTL};

use super::{StoreError, is_code, unavailable};

/// What the sweeper reads from the index without going to the table.
const DUE_PROJECTION: [&str; 3] = ["credential", "parked", "context"];

/// Creates both tables where they do not exist, as `template.yaml` does on AWS.
///
/// # Errors
/// If DynamoDB does not answer, or refuses for another reason than that a table exists.
pub async fn create_tables(
    client: &Client,
    rules_table: &str,
    statuses_table: &str,
) -> Result<(), StoreError> {
    let rules = define(client, rules_table, &[(PK, S), (SK, S)])?;
    create(rules, rules_table).await?;

    let statuses = define(
        client,
        statuses_table,
        &[
            (PK, S),
            (SK, S),
            (DUE, S),
            (DUE_AT, ScalarAttributeType::N),
            (COMMIT7, S),
        ],
    )?;
    let due = Projection::builder()
        .projection_type(ProjectionType::Include)
        .set_non_key_attributes(Some(DUE_PROJECTION.map(str::to_owned).to_vec()))
        .build();
    // With more in it, each unchanged event would cost a second write.
    let keys = Projection::builder()
        .projection_type(ProjectionType::KeysOnly)
        .build();
    let statuses = statuses
        .global_secondary_indexes(index(DUE_INDEX, (DUE, DUE_AT), due).map_err(incomplete(statuses_table))?)
        .global_secondary_indexes(
            index(COMMIT_INDEX, (COMMIT7, PK), keys).map_err(incomplete(statuses_table))?,
        );
    if create(statuses, statuses_table).await? {
        let ttl = TimeToLiveSpecification::builder()
            .enabled(true)
            .attribute_name(TTL)
            .build()
            .map_err(incomplete(statuses_table))?;
        client
            .update_time_to_live()
            .table_name(statuses_table)
            .time_to_live_specification(ttl)
            .send()
            .await
            .map_err(unavailable("setting the expiry of", statuses_table))?;
    }
    Ok(())
}

const S: ScalarAttributeType = ScalarAttributeType::S;

fn define(
    client: &Client,
    table: &str,
    attributes: &[(&str, ScalarAttributeType)],
) -> Result<CreateTableFluentBuilder, StoreError> {
    let mut request = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in attributes {
        let attribute = AttributeDefinition::builder()
            .attribute_name(*name)
            .attribute_type(kind.clone())
            .build()
            .map_err(incomplete(table))?;
        request = request.attribute_definitions(attribute);
    }
    let schema = key_schema((PK, SK)).map_err(incomplete(table))?;
    Ok(request.set_key_schema(Some(schema)))
}

/// Whether it was created, and not there already.
async fn create(request: CreateTableFluentBuilder, table: &str) -> Result<bool, StoreError> {
    match request.send().await {
        Ok(_) => Ok(true),
        Err(error) if is_code(&error, "ResourceInUseException") => Ok(false),
        Err(error) => Err(unavailable("creating", table)(error)),
    }
}

fn index(name: &str, keys: (&str, &str), projection: Projection) -> Result<GlobalSecondaryIndex, BuildError> {
    GlobalSecondaryIndex::builder()
        .index_name(name)
        .set_key_schema(Some(key_schema(keys)?))
        .projection(projection)
        .build()
}

fn key_schema((partition, sort): (&str, &str)) -> Result<Vec<KeySchemaElement>, BuildError> {
    [(partition, KeyType::Hash), (sort, KeyType::Range)]
        .into_iter()
        .map(|(name, kind)| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(kind)
                .build()
        })
        .collect()
}

fn incomplete(table: &str) -> impl FnOnce(BuildError) -> StoreError {
    let table = table.to_owned();
    move |source| {
        let source: SdkError<BuildError> = SdkError::construction_failure(source);
        unavailable("defining", &table)(source)
    }
}
