//! The service with clusters, rules, Providers and their secrets, and Git hosts it posts to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cli::secrets::{SecretStore, provider_secret_name, root_key_name};
use cli::store::Store;
use cli::yaml::{Source, validate};
use hosts::HostKind;
use intake::keys::{RootKey, derive_cluster_key};
use jiff::Timestamp;
use local::service::{Options, STACK, Service};
use local::stand_in::Facts;
use shared::Scope;
use tokio::runtime::{Builder, Runtime};

use crate::Shape;
use crate::host;
use crate::ledger::Ledger;
use crate::outcomes;
use crate::population::Cluster;
use crate::send::Sender;
use crate::usage::SERVICE;

/// Where the burst comes from.
pub(crate) const BURST: &str = "burst";

/// How often it is looked whether the queues are empty.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The service, and what is outside of it.
pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) clusters: Arc<Vec<Cluster>>,
    /// One for each repository.
    pub(crate) namespaces: Vec<String>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) sender: Arc<Sender>,
    runtime: Runtime,
    _data: tempfile::TempDir,
}

impl World {
    /// With everything applied; also a repository for a burst, if its host is named.
    pub(crate) async fn start(shape: &Shape, burst: Option<HostKind>) -> Self {
        let data = match &shape.data {
            Some(directory) => tempfile::tempdir_in(directory),
            None => tempfile::tempdir(),
        };
        let data = data.unwrap();
        // As the local binary has it, but for the name of its threads.
        let runtime = Builder::new_multi_thread()
            .thread_name(SERVICE)
            .thread_keep_alive(Duration::from_secs(3600))
            .enable_all()
            .build()
            .unwrap();
        let options = Options {
            data_dir: data.path().to_owned(),
            port: 0,
            address_policy: "127.0.0.0/8".parse().unwrap(),
            clock: Timestamp::now,
        };
        let service = runtime.spawn(async move { Service::start(&options).await });
        let service = service.await.unwrap().unwrap();

        let ledger = Arc::<Ledger>::default();
        outcomes::tell(&ledger);
        let answer_after = Duration::from_millis(shape.answer_after);
        let mut namespaces: Vec<String> = (0..shape.repositories)
            .map(|index| format!("team-{index:03}"))
            .collect();
        let address = host::start(shape.host, Arc::clone(&ledger), answer_after).await;
        let mut yaml: String = namespaces
            .iter()
            .map(|namespace| objects_yaml(namespace, shape.host, &address))
            .collect();
        if let Some(kind) = burst {
            let address = host::start(kind, Arc::clone(&ledger), answer_after).await;
            yaml += &objects_yaml(BURST, kind, &address);
            namespaces.push(BURST.to_owned());
        }
        let store = Store::new(service.dynamodb.clone(), STACK);
        apply(&store, yaml).await;
        for namespace in &namespaces {
            let kind = match (burst, namespace.as_str()) {
                (Some(kind), BURST) => kind,
                _ => shape.host,
            };
            let (_, token) = Facts::of(kind).token(&format!("token-of-{namespace}"));
            let secret = serde_json::json!({ "token": token }).to_string();
            let name = provider_secret_name(STACK, &Scope::AllClusters, namespace, "token");
            service.secrets.put(&name, &secret.into()).await.unwrap();
        }
        namespaces.truncate(shape.repositories);

        let root = service.secrets.versions(&root_key_name(STACK)).unwrap();
        let root = RootKey::new(&root.unwrap().current).unwrap();
        let mut clusters = Vec::new();
        for index in 0..shape.clusters {
            let name = format!("cluster-{index:02}");
            let generation = store.add_cluster(&name).await.unwrap();
            let key = derive_cluster_key(&root, &name, generation);
            clusters.push(Cluster { name, key });
        }
        let sender = Sender::new(&service.instance.function_url, &ledger);
        Self {
            service,
            clusters: Arc::new(clusters),
            namespaces,
            ledger,
            sender: Arc::new(sender),
            runtime,
            _data: data,
        }
    }

    /// Waits until both queues are empty, and says whether they are within the time.
    pub(crate) async fn come_to_rest(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if self.service.events.is_empty() && self.service.posts.is_empty() && self.sender.in_flight() == 0
            {
                return true;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        false
    }

    /// Ends the service, whatever it is at.
    pub(crate) async fn stop(self) {
        self.service.stop().await;
        self.runtime.shutdown_background();
    }
}

/// A Provider with a credential of its own, and a rule for everything in its namespace.
fn objects_yaml(namespace: &str, kind: HostKind, address: &str) -> String {
    format!(
        "---\napiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Provider\n\
         metadata: {{name: host, namespace: {namespace}}}\n\
         spec: {{type: {kind}, address: \"{address}/acme/{namespace}\", secretRef: {{name: token}}}}\n\
         ---\napiVersion: notification.toolkit.fluxcd.io/v1beta1\nkind: CommitStatus\n\
         metadata: {{name: all, namespace: {namespace}}}\n\
         spec: {{providerRef: {{name: host}}, eventSources: [{{kind: Kustomization, name: '*'}}]}}\n"
    )
}

async fn apply(store: &Store, yaml: String) {
    let source = Source {
        name: "load.yaml".to_owned(),
        text: yaml,
    };
    let validated = validate(&[source], None).unwrap();
    let objects: Vec<_> = validated
        .documents
        .into_iter()
        .map(|document| document.object)
        .collect();
    store
        .apply(&Scope::AllClusters, &objects, Timestamp::now())
        .await
        .unwrap();
}
