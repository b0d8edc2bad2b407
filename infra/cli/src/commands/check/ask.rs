//! Which hosts are asked about which credentials: nothing twice, and with one credential one question at a time, as the
//! poster posts.

use std::collections::{BTreeMap, HashMap};

use futures_util::{StreamExt as _, stream};
use hosts::{PostError, Repository};
use poster::credentials::SecretNames;
use shared::{Provider, Scope};

use super::facts::Unread;
use crate::probe::{Probed, secret_names};

/// Credentials that are asked about at the same time.
const AT_ONCE: usize = 8;
/// Repositories that are asked about with one credential: enough to tell whether it is well, and few of the requests a
/// host grants the poster.
const ENOUGH: usize = 50;

/// What is asked, and what is not.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// By credential.
    questions: BTreeMap<String, Vec<Question>>,
    left: Vec<Asked>,
}

/// One repository, with the same secrets.
#[derive(Debug)]
struct Question {
    /// Places of the Providers in the list, of which there is at least one.
    providers: Vec<usize>,
    names: SecretNames,
    /// Otherwise the answer is known without its host.
    asks_host: bool,
}

/// What came of a question.
#[derive(Debug)]
pub(super) struct Asked {
    /// Places of the Providers in the list it is the same for.
    pub(super) providers: Vec<usize>,
    pub(super) credential: String,
    pub(super) answer: Answer,
}

#[derive(Debug)]
pub(super) enum Answer {
    Probed(Probed),
    /// The store of secrets does not say what there is.
    Unread(Unread),
    /// The host was not asked.
    Left(Left),
}

/// Why it was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Left {
    /// Nothing is sent with it now.
    Held,
    /// There were many others.
    Enough,
    /// The answer before it is about the credential.
    Stopped,
}

impl Plan {
    pub(super) fn of(
        providers: &[(Scope, Provider)],
        is_held: impl Fn(&str) -> bool,
        asks_all: bool,
    ) -> Self {
        let mut known: HashMap<(SecretNames, String), usize> = HashMap::new();
        let mut plan = Self::default();
        for (index, (scope, provider)) in providers.iter().enumerate() {
            if provider.spec.suspend {
                continue;
            }
            let names = secret_names(scope, &provider.metadata.namespace, &provider.spec);
            let (repository, asks_host) = match Repository::of(&provider.spec) {
                Ok(it) => (
                    format!("{:?} {}/{}", it.host_kind, it.root(), it.path.to_lowercase()),
                    true,
                ),
                // Equal to none.
                Err(_) => (index.to_string(), false),
            };
            let questions = plan.questions.entry(names.credential.clone()).or_default();
            let place = *known
                .entry((names.clone(), repository))
                .or_insert(questions.len());
            match questions.get_mut(place) {
                Some(question) => question.providers.push(index),
                None => questions.push(Question {
                    providers: vec![index],
                    names,
                    asks_host,
                }),
            }
        }
        for (credential, questions) in &mut plan.questions {
            let is_held = is_held(credential);
            let mut asked = 0_usize;
            let (ask, leave): (Vec<_>, Vec<_>) =
                std::mem::take(questions).into_iter().partition(|question| {
                    asked += usize::from(question.asks_host);
                    !question.asks_host || (!is_held && (asks_all || asked <= ENOUGH))
                });
            *questions = ask;
            let why = if is_held { Left::Held } else { Left::Enough };
            plan.left.extend(leave.into_iter().map(|question| Asked {
                providers: question.providers,
                credential: credential.clone(),
                answer: Answer::Left(why),
            }));
        }
        plan
    }

    /// How many questions there are.
    pub(super) fn len(&self) -> usize {
        self.questions.values().map(Vec::len).sum()
    }

    /// Asks with `probe`, which takes the place of a Provider.
    pub(super) async fn ask<F>(self, probe: impl Fn(usize) -> F, on_answer: impl Fn()) -> Vec<Asked>
    where
        F: Future<Output = anyhow::Result<Probed>>,
    {
        let (probe, on_answer) = (&probe, &on_answer);
        let credentials = stream::iter(self.questions).map(|(credential, questions)| async move {
            let (mut answers, mut unread, mut is_stopped) = (Vec::new(), Vec::new(), false);
            for question in questions {
                let is_known = question.asks_host && (is_stopped || unread.contains(&question.names));
                let answer = match question.providers.first() {
                    Some(provider) if !is_known => match probe(*provider).await {
                        Ok(probed) => Answer::Probed(probed),
                        Err(error) => Answer::Unread(Unread::of(error.as_ref())),
                    },
                    _ => Answer::Left(Left::Stopped),
                };
                is_stopped |= answer.ends_the_credential();
                if let Answer::Unread(_) = answer {
                    unread.push(question.names);
                }
                on_answer();
                answers.push(Asked {
                    providers: question.providers,
                    credential: credential.clone(),
                    answer,
                });
            }
            answers
        });
        let mut asked = credentials.buffer_unordered(AT_ONCE).concat().await;
        asked.extend(self.left);
        asked.sort_by(|one, other| one.providers.cmp(&other.providers));
        asked
    }
}

impl Answer {
    /// Whether to ask again with the same credential is of no use, or does harm: hosts lock out who goes on.
    fn ends_the_credential(&self) -> bool {
        matches!(
            self,
            Self::Probed(Probed::Refused(
                PostError::RateLimited { .. } | PostError::Unauthorized(_)
            ))
        )
    }
}
