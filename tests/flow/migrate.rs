//! docs/migrate.md from end to end: a cluster whose own Alert posts statuses moves over, with events between the steps.

use std::collections::BTreeMap;
use std::future::pending;
use std::path::Path;

use clap::Parser;
use cli::app::{Cli, Person, Stack, run};
use cli::commands::Terminal;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::events::{SHA, WireEvent, build_failed, progressing, succeeded};
use super::world::{STACK, START, TOKEN, World, function_url_event};

const DOCUMENT: &str = include_str!("../../docs/migrate.md");
const FUNCTION_URL: &str = "https://abc.lambda-url.eu-west-1.on.aws/";
const UID: &str = "0c9c2e41-d2f9-4f9b-9c41-bebc1984d67a";
/// What notification-controller calls the status.
const OLD_CONTEXT: &str = "kustomization/podinfo/0c9c2e41";
const NEW_CONTEXT: &str = "dev/apps/kustomization/podinfo";
const KUBECTL_GET: &str =
    "kubectl get providers.notification.toolkit.fluxcd.io,alerts.notification.toolkit.fluxcd.io -A -o yaml";
const KUBECTL_DELETE: &str = "kubectl delete alerts.notification.toolkit.fluxcd.io,\
                              providers.notification.toolkit.fluxcd.io,secrets commitstatus -n apps";
/// In the place of base64.
const ENCODED: &str = "encoded:";

/// Seconds after which no function believes what it read before.
const RULES_BELIEVE: i64 = 6;

/// A cluster that Flux runs in, and the shell of whoever moves it over.
struct Cluster {
    world: World,
    files: tempfile::TempDir,
    /// The old Alert posts as long as it is not.
    is_suspended: bool,
    /// What `connect` printed, as `kubectl apply` took it.
    applied: Option<String>,
    /// The newest state on the commit under each context.
    shown: BTreeMap<String, String>,
    seen: usize,
}

/// Standard output and standard error of a line, and how it ended.
struct Said {
    out: String,
    err: String,
    code: u8,
}

impl Cluster {
    async fn new() -> Self {
        Self {
            world: World::empty().await,
            files: tempfile::tempdir().unwrap(),
            is_suspended: false,
            applied: None,
            shown: BTreeMap::new(),
            seen: 0,
        }
    }

    /// What `kubectl get` prints.
    fn objects(&self) -> String {
        let old = format!(
            "apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Provider\n\
             metadata: {{name: git, namespace: apps, uid: {UID}, resourceVersion: '7', generation: 1}}\n\
             spec: {{type: github, address: \"{}/acme/fleet\", secretRef: {{name: token}}}}\n---\n\
             apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Alert\n\
             metadata: {{name: podinfo, namespace: apps, uid: 2d0cdc51-ddcf, generation: 1}}\n\
             spec:\n  providerRef: {{name: git}}\n  eventSeverity: info\n  suspend: {}\n  \
             eventSources: [{{kind: Kustomization, name: '*'}}]\n",
            self.world.host_address, self.is_suspended
        );
        match &self.applied {
            None => old,
            Some(applied) => format!("{old}---\n{applied}"),
        }
    }

    /// Runs a line as a shell would.
    async fn runs(&mut self, line: &str) -> Said {
        let (line, file) = match line.rsplit_once(" > ") {
            Some((line, file)) => (line, Some(file.trim())),
            None => (line, None),
        };
        let mut said = Said {
            out: String::new(),
            err: String::new(),
            code: 0,
        };
        for command in line.split(" | ") {
            said = self.command(command.trim(), &said.out).await;
        }
        if let Some(file) = file {
            std::fs::write(self.files.path().join(file), &said.out).unwrap();
        }
        said
    }

    async fn command(&mut self, command: &str, input: &str) -> Said {
        let out = match command {
            // Looks at a whole stack, of which there is only a part here.
            "commitstatus check" => {
                Cli::try_parse_from(command.split_whitespace()).unwrap();
                String::new()
            }
            command if command.starts_with("commitstatus ") => {
                return self.commitstatus(command, input).await;
            }
            KUBECTL_GET => self.objects(),
            "kubectl get secret token -n apps -o jsonpath='{.data.token}'" => format!("{ENCODED}{TOKEN}"),
            "base64 -d" => input.strip_prefix(ENCODED).unwrap().to_owned(),
            "kubectl apply -f -" => {
                self.applied = Some(input.to_owned());
                String::new()
            }
            "flux suspend alert podinfo -n apps" => {
                self.is_suspended = true;
                String::new()
            }
            "flux resume alert podinfo -n apps" => {
                self.is_suspended = false;
                String::new()
            }
            KUBECTL_DELETE => {
                self.applied = None;
                String::new()
            }
            other => panic!("nobody runs `{other}`"),
        };
        Said {
            out,
            err: String::new(),
            code: 0,
        }
    }

    async fn commitstatus(&self, command: &str, input: &str) -> Said {
        let words = command.split_whitespace().map(|word| match word {
            file if file.ends_with(".yaml") => self.files.path().join(file).to_str().unwrap().to_owned(),
            word => word.to_owned(),
        });
        let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("`{command}`: {error}"));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let terminal = &mut Terminal {
            input: &mut input.as_bytes(),
            input_is_terminal: false,
            out: &mut out,
            out_is_terminal: false,
            err: &mut err,
            err_is_terminal: false,
            colours: false,
        };
        let stack: Stack<'_, _> = Stack {
            store: &self.world.store,
            queues: None,
            secrets: &self.world.secrets,
            function_url: Some(FUNCTION_URL),
            asks_hosts: false,
        };
        assert_eq!(cli.target.stack, STACK);
        let person = Person {
            prompt: &mut |_: &str| panic!("nobody is there to ask"),
            editor: &mut |_: &Path| Ok(false),
        };
        let result = run(&cli, &stack, self.world.now(), person, pending(), terminal).await;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(out), text(err));
        let code = result.unwrap_or_else(|error| panic!("`{command}`: {error:#}\n{err}"));
        assert!(!format!("{out}{err}").contains(TOKEN), "a secret in `{out}{err}`");
        Said { out, err, code }
    }

    /// Something happens in the cluster, and Flux tells whoever it may.
    async fn event(&mut self, event: WireEvent) {
        self.world.advance(RULES_BELIEVE);
        let event = event.at(self.world.now().as_second() - START);
        let body: Value = serde_json::from_str(&event.body()).unwrap();
        if !self.is_suspended {
            self.notification_controller_posts(&body);
        }
        if let Some(applied) = &self.applied {
            let request = signed(applied, &event.body());
            let answer = self.world.request(&request).await;
            assert_eq!(answer.status, 202, "{answer:?}");
            self.world.settle().await;
        }
        let told = self.world.host.told();
        for (context, state) in told.get(self.seen..).unwrap_or_default() {
            self.shown.insert(context.clone(), state.clone());
        }
        self.seen = told.len();
    }

    /// `generateDefaultCommitStatus` and the notifier for GitHub, of notification-controller 1.9.3.
    fn notification_controller_posts(&mut self, event: &Value) {
        let object = &event["involvedObject"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        if event["reason"] == "Progressing" {
            return;
        }
        let state = match event["severity"].as_str().unwrap() {
            "error" => "failure",
            _ => "success",
        };
        let part = UID.split('-').next().unwrap();
        let context = format!("{}/{}/{part}", text(&object["kind"]), text(&object["name"]));
        self.shown.insert(context.to_lowercase(), state.to_owned());
    }

    /// After one failure and one success, as nobody knows which comes next, each stands where it is looked for.
    async fn loses_nothing(&mut self, contexts: &[&str], after: &str) {
        for (event, state) in [(build_failed(), "failure"), (succeeded(), "success")] {
            self.event(event).await;
            for context in contexts {
                let shown = self.shown.get(*context).map(String::as_str);
                assert_eq!(shown, Some(state), "{context} after `{after}`");
            }
        }
    }

    /// Runs lines with events after each, which must show under these contexts.
    async fn goes_through(&mut self, lines: &[String], contexts: &[&str]) -> Vec<Said> {
        let mut all = Vec::new();
        for line in lines {
            all.push(self.runs(line).await);
            self.loses_nothing(contexts, line).await;
        }
        all
    }
}

/// A request as the objects of `connect` make notification-controller send it.
fn signed(manifests: &str, body: &str) -> Value {
    let field = |name: &str| {
        let (_, rest) = manifests.split_once(&format!("  {name}: \"")).unwrap();
        rest.split('"').next().unwrap()
    };
    let path = field("address")
        .strip_prefix(FUNCTION_URL.trim_end_matches('/'))
        .unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(field("token").as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    function_url_event(path, body, &signature)
}

/// Lines of the `sh` blocks of a section.
fn section(heading: &str) -> Vec<String> {
    let sections = DOCUMENT.split("\n## ").skip(1);
    let mut found = sections.filter_map(|section| section.split_once('\n'));
    let (_, text) = found
        .find(|(found, _)| *found == heading)
        .unwrap_or_else(|| panic!("no section `{heading}`"));
    let blocks = text.split("```").skip(1).step_by(2);
    let blocks = blocks.map(|block| block.strip_prefix("sh\n").expect("every block is sh"));
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

const SECTIONS: [&str; 8] = [
    "Take what the cluster has",
    "Turn it into rules",
    "Apply",
    "Connect",
    "Check",
    "Suspend the old Alerts",
    "Names",
    "Going back",
];

#[test]
fn every_section_with_commands_is_run() {
    let headings = DOCUMENT.lines().filter_map(|line| line.strip_prefix("## "));
    let with_commands: Vec<&str> = headings.filter(|heading| !section(heading).is_empty()).collect();
    assert_eq!(with_commands, SECTIONS);
}

#[test]
fn every_link_of_the_contents_leads_to_a_section() {
    let anchor = |heading: &str| heading.to_lowercase().replace(' ', "-");
    let headings: Vec<String> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(anchor)
        .collect();
    let contents = DOCUMENT.lines().filter(|line| line.starts_with("- ["));
    let links: Vec<&str> = contents
        .filter_map(|line| line.split_once("](#")?.1.strip_suffix(')'))
        .collect();
    assert_eq!(links, headings);
}

#[tokio::test]
async fn p18_a_cluster_moves_over_under_the_names_it_has_and_loses_nothing() {
    let mut cluster = Cluster::new().await;
    let old = [OLD_CONTEXT];
    cluster.loses_nothing(&old, "Flux alone").await;
    for heading in &SECTIONS[..4] {
        cluster.goes_through(&section(heading), &old).await;
    }
    let checked = cluster.goes_through(&section("Check"), &old).await;
    let [_, check, statuses] = &checked[..] else {
        panic!("other steps to check than are tested")
    };
    let doubts: Vec<&str> = check
        .out
        .lines()
        .filter(|line| !line.starts_with("ok "))
        .collect();
    assert!(
        check.code == 1 && doubts.len() == 1 && doubts[0].contains("posts to github beside this service"),
        "{}",
        check.out
    );
    assert!(
        statuses.out.contains(&format!("{OLD_CONTEXT}  success")) && statuses.out.contains("posted "),
        "{}",
        statuses.out
    );

    let suspended = cluster
        .goes_through(&section("Suspend the old Alerts"), &old)
        .await;
    let last = suspended.last().unwrap();
    assert_eq!(last.code, 0, "{}", last.out);
    // One context all the way.
    assert_eq!(cluster.shown.keys().collect::<Vec<_>>(), [OLD_CONTEXT]);
    // And what Flux never posted.
    let next = "a1afe267b54f38b46b487f6e938a6fd508278c07";
    cluster
        .event(progressing().revision(&format!("main@sha1:{next}")))
        .await;
    assert_eq!(cluster.shown[OLD_CONTEXT], "pending");
    cluster
        .event(succeeded().revision(&format!("main@sha1:{next}")))
        .await;
    assert_eq!(cluster.shown[OLD_CONTEXT], "success");

    // The names are given up later.
    cluster.shown.clear();
    let [import, apply] = &section("Names")[..] else {
        panic!("other steps than are tested")
    };
    cluster.runs(import).await;
    cluster.runs(apply).await;
    cluster.loses_nothing(&[NEW_CONTEXT], apply).await;
    assert_eq!(cluster.shown.keys().collect::<Vec<_>>(), [NEW_CONTEXT]);
}

#[tokio::test]
async fn without_kept_names_both_stand_side_by_side_until_the_old_alert_is_suspended() {
    let mut cluster = Cluster::new().await;
    for heading in &SECTIONS[..3] {
        let lines = section(heading);
        let lines = lines.iter().map(|line| line.replace(" --keep-names", ""));
        cluster
            .goes_through(&lines.collect::<Vec<_>>(), &[OLD_CONTEXT])
            .await;
    }
    let both = [OLD_CONTEXT, NEW_CONTEXT];
    cluster.goes_through(&section("Connect"), &both).await;
    cluster.goes_through(&section("Check"), &both).await;
    cluster
        .goes_through(&section("Suspend the old Alerts"), &[NEW_CONTEXT])
        .await;
    let status = cluster.world.status(SHA).await;
    assert_eq!((status.context.as_str(), status.parked), (NEW_CONTEXT, None));

    // And all the way back.
    cluster.goes_through(&section("Going back"), &[OLD_CONTEXT]).await;
    assert!(!cluster.is_suspended && cluster.applied.is_none());
    let left = cluster.runs("commitstatus get providers").await;
    assert_eq!(left.out, "");
}

/// What `import` prints to be copied does the same as the document.
#[tokio::test]
async fn the_printed_steps_lose_nothing_either() {
    let mut cluster = Cluster::new().await;
    let import =
        format!("{KUBECTL_GET} | commitstatus import -f - --cluster dev --keep-names > imported.yaml");
    let printed = cluster.runs(&import).await.err;
    let lines = printed
        .lines()
        .filter(|line| !line.starts_with("note: ") && !line.starts_with('#'));
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
    assert!(lines.len() >= 7, "{printed}");
    let said = cluster.goes_through(&lines, &[OLD_CONTEXT]).await;
    assert!(cluster.is_suspended && cluster.applied.is_some(), "{printed}");
    assert_eq!(said.last().unwrap().code, 0);
    assert_eq!(cluster.shown.keys().collect::<Vec<_>>(), [OLD_CONTEXT]);
}
