//! `connect --all` and `connect --check`.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::app;

/// A rule for every cluster, and one of `dev` only.
async fn operator() -> Operator {
    let operator = Operator::with_root_key().await;
    for cluster in ["dev", "prod", "old"] {
        operator.says(&format!("cluster add {cluster}"), "").await.ok();
    }
    operator.says("cluster suspend old", "").await.ok();
    operator.says("cluster revoke prod", "").await.ok();
    operator.says("apply -f - --all-clusters", FILE).await.ok();
    let of_dev = FILE.replace(
        "name: webapp, namespace: flux-system",
        "name: apps, namespace: apps",
    );
    operator.says("apply -f - --cluster dev", &of_dev).await.ok();
    operator
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn key(cluster: &str, generation: u32) -> SecretString {
    derive_cluster_key(&RootKey::new(&ROOT_KEY.into()).unwrap(), cluster, generation)
}

#[tokio::test]
async fn all_writes_a_private_file_for_each_cluster() {
    let operator = operator().await;
    operator
        .says("connect prod -n flux-system -n tools", "")
        .await
        .ok();
    let directory = operator.data.path().join("a/keys");
    let shown = directory.display();

    let said = operator
        .says(&format!("connect --all --output-dir {shown}"), "")
        .await
        .ok();

    assert_eq!(
        said.out,
        format!("cluster/dev written to {shown}/dev.yaml\ncluster/prod written to {shown}/prod.yaml\n")
    );
    assert!(
        said.err
            .starts_with("cluster/old is suspended, so there is no file"),
        "{}",
        said.err
    );
    assert_eq!(mode(&directory), 0o700);
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    for (cluster, generation, address) in [
        ("dev", 1, "\"https://x.example/events/dev\""),
        ("prod", 2, "\"https://x.example/events/prod?generation=2\""),
    ] {
        let name = format!("{cluster}.yaml");
        assert_eq!(mode(&directory.join(&name)), 0o600);
        let text = read(&name);
        let key = key(cluster, generation);
        assert!(
            text.contains(key.expose_secret()) && text.contains(address),
            "{text}"
        );
        assert!(!said.out.contains(key.expose_secret()) && !said.err.contains(key.expose_secret()));
    }
    assert!(read("dev.yaml").contains("namespace: \"apps\""));
    assert!(!read("prod.yaml").contains("namespace: \"apps\""));
    // What it was connected with before.
    assert!(read("prod.yaml").contains("namespace: \"tools\""));
    assert_eq!(
        std::fs::read_dir(&directory).unwrap().count(),
        2,
        "nothing else is left behind"
    );

    // The key may be another by now.
    std::fs::write(directory.join("dev.yaml"), "old").unwrap();
    operator
        .says(&format!("connect --all --output-dir {shown}"), "")
        .await
        .ok();
    assert!(read("dev.yaml").contains(key("dev", 1).expose_secret()));
    let cluster = operator.store.cluster("dev").await.unwrap().unwrap();
    assert!(cluster.connected_root_key.is_some());
    assert!(cluster.connected_namespaces.contains("apps"));
}

#[tokio::test]
async fn one_cluster_goes_into_a_file_too() {
    let operator = operator().await;
    let directory = operator.data.path().join("keys");
    let said = operator
        .says(&format!("connect dev --output-dir {}", directory.display()), "")
        .await
        .ok();
    assert_eq!(said.out.lines().count(), 1, "{}", said.out);
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
}

#[tokio::test]
async fn all_says_what_it_needs() {
    let operator = operator().await;
    assert_eq!(
        operator.says("connect --all", "").await.error(),
        "--all would print the keys of all clusters in one stream, to be applied to one of them; say --output-dir DIR to \
         have a file for each"
    );
    let file = operator.data.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = operator
        .says(&format!("connect --all --output-dir {}", file.display()), "")
        .await
        .error();
    assert!(
        error.contains("name a directory you may write to with --output-dir"),
        "{error}"
    );
    // A key that was not handed out is not one the cluster has.
    let cluster = operator.store.cluster("dev").await.unwrap().unwrap();
    assert_eq!(cluster.connected_root_key, None);

    let empty = Operator::with_root_key().await;
    assert_eq!(
        empty.says("connect --all --output-dir x", "").await.error(),
        "no cluster to connect; `commitstatus cluster add NAME` registers one"
    );
    for words in [
        "connect",
        "connect dev --all",
        "connect --all --check -",
        "connect dev --check - --output-dir x",
        "connect dev --check - -n a",
    ] {
        let words = std::iter::once("commitstatus").chain(words.split_whitespace());
        assert!(Cli::try_parse_from(words).is_err());
    }
}

/// The exit code, and what was said.
async fn checks(
    operator: &Operator,
    arguments: &str,
    input: &str,
    url: Option<&str>,
) -> (u8, String, String) {
    let words = ["commitstatus", "connect"]
        .into_iter()
        .chain(arguments.split_whitespace());
    let Command::Connect(args) = Cli::try_parse_from(words).unwrap().command else {
        panic!("{arguments}");
    };
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
    let code = crate::commands::connect::run(&args, &operator.store, &operator.secrets, STACK, url, terminal)
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (code, text(out), text(err))
}

#[tokio::test]
async fn what_connect_prints_passes_its_own_check() {
    let operator = operator().await;
    for arguments in ["dev", "dev --per-namespace", "dev -n tools", "prod"] {
        let printed = operator.says(&format!("connect {arguments}"), "").await.ok().out;
        let cluster = arguments.split(' ').next().unwrap();
        let url = Some("https://x.example/");
        let (code, out, err) = checks(&operator, &format!("{cluster} --check -"), &printed, url).await;
        assert_eq!(code, 0, "{out}{err}");
        assert_eq!(err, format!("cluster \"{cluster}\" sends what its rules need\n"));
        assert!(
            out.lines().all(|line| line.starts_with("ok       stdin:")),
            "{out}"
        );
    }
}

#[tokio::test]
async fn check_exits_with_one_and_says_what_mends_it() {
    let operator = operator().await;
    let printed = operator.says("connect dev -n tools", "").await.ok().out;
    let key = key("dev", 1);
    assert!(printed.contains(key.expose_secret()));

    let late = printed.replace("timeout: 60s", "timeout: 20s");
    let (code, out, err) = checks(&operator, "dev --check -", &late, None).await;
    assert_eq!(code, 1);
    let lines: Vec<&str> = out.lines().filter(|line| !line.starts_with("ok")).collect();
    assert_eq!(
        lines,
        [
            "warning  stdin:21:12: Provider tools/commitstatus: spec.timeout: expected 60s, or Flux gives up before its last \
          retry and the event is lost"
        ]
    );
    assert_eq!(
        err,
        "the function URL is not known, so only the path of addresses was compared; --url or COMMITSTATUS_URL says it\n\
         `commitstatus connect dev -n tools | kubectl apply -f -` mends it\n"
    );
    assert!(!out.contains(key.expose_secret()) && !err.contains(key.expose_secret()));

    let suspended = printed.replace("timeout: 60s", "timeout: 60s\n  suspend: true");
    let (code, _, err) = checks(
        &operator,
        "dev --check - --url https://x.example",
        &suspended,
        None,
    )
    .await;
    assert_eq!(code, 1);
    assert_eq!(
        err,
        "do what the lines say; `commitstatus connect` would not change that\n"
    );

    let mixed = suspended.replace("timeout: 60s", "timeout: 20s");
    let (_, _, err) = checks(&operator, "dev --check - --url https://x.example", &mixed, None).await;
    assert!(
        err.contains("mends what is not said to need something else"),
        "{err}"
    );

    // The rules of today, not those of the day it was connected.
    let rule = FILE.split_once("---\n").unwrap().1;
    let elsewhere = rule.replace("name: webapp}\n", "name: webapp, namespace: web}\n");
    operator.says("apply -f - --all-clusters", &elsewhere).await.ok();
    let (code, out, _) = checks(&operator, "dev --check -", &printed, None).await;
    assert_eq!(code, 1);
    assert!(out.contains("the rules need Kustomization web/webapp"), "{out}");
}

/// As the process does.
#[tokio::test]
async fn the_code_of_a_check_is_that_of_the_process() {
    let operator = operator().await;
    let printed = operator.says("connect dev", "").await.ok().out;
    for (input, code) in [(printed.clone(), 0), (printed.replace("60s", "1s"), 1)] {
        let cli = app::Cli::try_parse_from(["commitstatus", "connect", "dev", "--check", "-"]).unwrap();
        let mut out = Vec::new();
        let terminal = &mut Terminal {
            input: &mut input.as_bytes(),
            input_is_terminal: false,
            out: &mut out,
            out_is_terminal: true,
            err: &mut Vec::new(),
            err_is_terminal: false,
            colours: true,
        };
        let stack = app::Stack {
            store: &operator.store,
            queues: None,
            secrets: &operator.secrets,
            function_url: Some("https://x.example/"),
            asks_hosts: false,
        };
        let person = app::Person {
            prompt: &mut |_: &str| Ok(String::new()),
            editor: &mut |_: &Path| Ok(false),
        };
        let now = Timestamp::UNIX_EPOCH;
        let result = app::run(&cli, &stack, now, person, std::future::pending(), terminal).await;
        assert_eq!(result.unwrap(), code);
        let out = String::from_utf8(out).unwrap();
        assert_eq!(
            out.contains("\u{1b}[33mwarning \u{1b}[0m stdin:"),
            code == 1,
            "{out:?}"
        );
        assert!(out.contains("\u{1b}[32mok      \u{1b}[0m stdin:"), "{out:?}");
    }
}

#[tokio::test]
async fn check_knows_a_cluster_that_is_suspended_here() {
    let operator = operator().await;
    let printed = operator.says("connect old", "").await.ok().out;
    let (code, out, _) = checks(&operator, "old --check -", &printed, None).await;
    assert_eq!(code, 1);
    assert!(
        out.ends_with(
            "missing  cluster \"old\" is suspended here, so its events are dropped; `commitstatus cluster resume old` takes \
             them again\n"
        ),
        "{out}"
    );
}

#[tokio::test]
async fn check_says_what_it_cannot_read() {
    let operator = operator().await;
    let error = operator
        .says("connect dev --check no/such.yaml", "")
        .await
        .error();
    assert!(
        error.starts_with("cannot read `no/such.yaml`; check the path given with --check"),
        "{error}"
    );
    let error = operator.says("connect dev --check -", "").await.error();
    assert!(
        error.starts_with("nothing in stdin; expected what `kubectl get "),
        "{error}"
    );
    let error = operator.says("connect nobody --check -", "").await.error();
    assert!(error.contains("cluster \"nobody\" not found"), "{error}");
}
