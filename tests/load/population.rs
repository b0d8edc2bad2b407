//! Kustomizations of many clusters, and what each says next.

use std::sync::Arc;

use secrecy::SecretString;
use shared::State;
use shared::message::hex_sha256;

use crate::events::{Reason, body, signature};
use crate::ledger::Key;

/// A cluster and the key its events are signed with.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    pub(crate) key: SecretString,
}

/// An event, ready to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) cluster: String,
    pub(crate) body: String,
    pub(crate) signature: String,
    /// The status that must come of it.
    pub(crate) expected: Option<Key>,
}

/// Where a Kustomization stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its commit has a result, or it never had one.
    Settled,
    /// It works on its commit.
    Progressing,
}

#[derive(Debug)]
struct Object {
    cluster: usize,
    namespace: String,
    name: String,
    sha: String,
    stage: Stage,
}

/// All that say something, one after the other.
#[derive(Debug)]
pub(crate) struct Population {
    clusters: Arc<Vec<Cluster>>,
    objects: Vec<Object>,
    next: usize,
    version: u64,
    commits: u64,
    random: fastrand::Rng,
    /// How likely a settled one is to begin with a new commit instead of saying its success again.
    begins: f64,
}

impl Population {
    /// One Kustomization of each namespace in each cluster. Of all that they say, the share `unchanged` is the success of
    /// an interval, and the rest are changes: a commit that is begun, and its success the next time.
    pub(crate) fn new(
        clusters: &Arc<Vec<Cluster>>,
        namespaces: &[String],
        unchanged: f64,
        seed: u64,
    ) -> Self {
        let mut objects: Vec<Object> = (0..clusters.len())
            .flat_map(|cluster| namespaces.iter().map(move |namespace| (cluster, namespace)))
            .map(|(cluster, namespace)| Object {
                cluster,
                namespace: namespace.clone(),
                name: "podinfo".to_owned(),
                sha: String::new(),
                stage: Stage::Settled,
            })
            .collect();
        let mut random = fastrand::Rng::with_seed(seed);
        random.shuffle(&mut objects);
        Self {
            clusters: Arc::clone(clusters),
            objects,
            next: 0,
            version: 183_200,
            commits: 0,
            random,
            // Two changes for each commit, and in the long run `2u / (1 - u)` repetitions between two commits.
            begins: (1.0 - unchanged) / (1.0 + unchanged),
        }
    }

    /// What is said next.
    pub(crate) fn next(&mut self) -> Outgoing {
        let index = self.next % self.objects.len();
        self.next += 1;
        match self.objects[index].stage {
            Stage::Progressing => self.say(index, Reason::ReconciliationSucceeded, true),
            Stage::Settled if self.random.f64() < self.begins || self.objects[index].sha.is_empty() => {
                self.objects[index].sha = self.commit();
                self.say(index, Reason::Progressing, true)
            }
            Stage::Settled => self.say(index, Reason::ReconciliationSucceeded, false),
        }
    }

    /// A first success of everything, to be repeated.
    pub(crate) fn settle(&mut self) -> Vec<Outgoing> {
        (0..self.objects.len())
            .map(|index| {
                self.objects[index].sha = self.commit();
                self.say(index, Reason::ReconciliationSucceeded, true)
            })
            .collect()
    }

    /// The success of `count` Kustomizations of one namespace, on one commit or each on one of its own.
    pub(crate) fn burst(
        clusters: &Arc<Vec<Cluster>>,
        namespace: &str,
        count: usize,
        on_one_commit: bool,
    ) -> Vec<Outgoing> {
        let mut population = Self::new(clusters, &[], 0.0, 1);
        let first = hex_sha256(&["burst"])[..40].to_owned();
        population.objects = (0..count)
            .map(|index| Object {
                cluster: index % clusters.len(),
                namespace: namespace.to_owned(),
                name: format!("app-{index}"),
                sha: match on_one_commit {
                    true => first.clone(),
                    false => hex_sha256(&["burst", &index.to_string()])[..40].to_owned(),
                },
                stage: Stage::Settled,
            })
            .collect();
        (0..count)
            .map(|index| population.say(index, Reason::ReconciliationSucceeded, true))
            .collect()
    }

    /// Another commit each time.
    fn commit(&mut self) -> String {
        self.commits += 1;
        hex_sha256(&[&self.commits.to_string()])[..40].to_owned()
    }

    fn say(&mut self, index: usize, reason: Reason, is_change: bool) -> Outgoing {
        self.version += 1;
        let object = &mut self.objects[index];
        let (stage, state) = match reason {
            Reason::Progressing => (Stage::Progressing, State::Pending),
            Reason::ReconciliationSucceeded => (Stage::Settled, State::Success),
        };
        object.stage = stage;
        let cluster = &self.clusters[object.cluster];
        let body = body(&object.namespace, &object.name, reason, &object.sha, self.version);
        let expected = is_change.then(|| Key {
            sha: object.sha.clone(),
            context: format!(
                "{}/{}/kustomization/{}",
                cluster.name, object.namespace, object.name
            ),
            state: state.as_str().to_owned(),
        });
        Outgoing {
            cluster: cluster.name.clone(),
            signature: signature(&cluster.key, &body),
            body,
            expected,
        }
    }
}
