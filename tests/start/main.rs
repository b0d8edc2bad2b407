//! How long the functions take to start and to answer their first event, beside a function that does nothing.
//! `tests/start/run` builds and measures; docs/performance.md says what came of it.
//!
//! Each release binary is started against a stand-in of the Runtime API. What it calls is on loopback behind TLS. The
//! functions take turns in every run, so that what else the machine does falls on all of them.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "says what was measured")]
#![expect(clippy::disallowed_methods, reason = "measures time")]

mod aws;
#[expect(dead_code, unused_imports, reason = "the tests use more of it")]
#[path = "../flow/cost.rs"]
mod cost;
#[expect(dead_code, reason = "the tests use more of them")]
#[path = "../flow/events.rs"]
mod events;
mod function;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../flow/host.rs"]
mod host;
mod tls;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../flow/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aws::Aws;
use clap::Parser;
use events::succeeded;
use function::Function;
use local::fifo::{self, Received};
use serde_json::{Value, json};
use tls::{Front, Tls};
use world::{STACK, World, function_url_event, handled, rule_yaml, sqs_json};

/// What `empty` is called in the tables.
const EMPTY: &str = "empty";

/// Runs before those that count: they bring the binaries into the page cache.
const REHEARSALS: usize = 2;

/// What a function may take until it talks to anybody, in multiples of the empty function: intake, which connects to Secrets
/// Manager before its first `/next` and has read the root certificates by then, and the sweeper, which connects to nobody
/// (docs/adr/0012-clients-from-the-environment.md).
const START_BUDGETS: [(&str, f64); 2] = [("intake", 2.5), ("sweeper", 1.5)];

/// What a zip may have, in bytes.
const ZIP_BUDGET: u64 = 3_000_000;
/// With a language, and with TLS to Git hosts.
const LARGER_ZIP_BUDGET: u64 = 4_000_000;

/// Memory sizes to estimate for, in MB. At the last one a function has a whole CPU:
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>.
const MEMORY_SIZES: [u32; 4] = [128, 256, 512, WHOLE_CPU];
const WHOLE_CPU: u32 = 1769;

/// Measures how the functions start.
#[derive(Debug, Parser)]
struct Args {
    /// Runs that count.
    #[arg(long, default_value_t = 40)]
    runs: usize,
    /// A directory with the binaries, with a name to tell it from others: `--binaries after=DIR`. Several are measured
    /// in turn. The first one has the empty function.
    #[arg(long, value_name = "[NAME=]DIR")]
    binaries: Vec<String>,
    /// Events that pass through each function afterwards, in batches of ten, to see how much memory it takes; none with 0.
    #[arg(long, default_value_t = 2_000, value_name = "EVENTS")]
    load: usize,
    /// Let the functions trust the stand-ins alone, to see what reading all root certificates costs.
    #[arg(long)]
    few_roots: bool,
    /// Said by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Everything outside the functions.
struct Surroundings {
    world: World,
    aws: Arc<Aws>,
    fronts: [(&'static str, Front); 4],
    tls: Tls,
    log: tempfile::NamedTempFile,
}

/// One start and one event.
struct Sample {
    /// Up to the first connection to a service, if there was one before the first `/next`.
    connected: Option<Duration>,
    init: Duration,
    init_cpu: Duration,
    init_handshakes: usize,
    event: Duration,
    event_cpu: Duration,
    event_handshakes: usize,
    peak_kib: u64,
}

impl Surroundings {
    async fn new(few_roots: bool) -> Self {
        let tls = Tls::new(few_roots);
        let world = World::empty().await;
        let (aws, aws_address) = Aws::start().await;
        let fronts = [
            (
                "AWS_ENDPOINT_URL_DYNAMODB",
                tls.before(&world.dynamodb_endpoint).await,
            ),
            ("AWS_ENDPOINT_URL_SQS", tls.before(&aws_address).await),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", tls.before(&aws_address).await),
            ("", tls.before(&world.host_address).await),
        ];
        let host_url = &fronts[3].1.url;
        world.store.add_cluster("dev").await.unwrap();
        // GitLab's pace allows a post in every run; GitHub's would let most of them wait.
        let provider = world
            .provider_yaml()
            .replace(&world.host_address, host_url)
            .replace("type: github,", "type: gitlab,");
        world.apply("*", &provider).await;
        world.apply("*", &rule_yaml("podinfo", "")).await;
        Self {
            world,
            aws,
            fronts,
            tls,
            log: tempfile::NamedTempFile::new().unwrap(),
        }
    }

    fn environment(&self) -> Vec<(&str, String)> {
        let queue = |name: &str| format!("https://sqs.eu-west-1.amazonaws.com/123456789012/{name}.fifo");
        let mut environment = vec![
            ("AWS_REGION", "eu-west-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_SESSION_TOKEN", "test".to_owned()),
            ("AWS_LAMBDA_FUNCTION_NAME", "f".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/f".to_owned()),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "s".to_owned()),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON".to_owned()),
            ("SSL_CERT_FILE", self.tls.roots.path().display().to_string()),
            ("STACK_NAME", STACK.to_owned()),
            ("EVENTS_QUEUE_URL", queue("events")),
            ("POSTS_QUEUE_URL", queue("posts")),
            ("ROOT_KEY_SECRET", format!("{STACK}/root-key")),
            ("PROVIDER_SECRETS_PREFIX", format!("{STACK}/providers")),
            ("RULES_TABLE", format!("{STACK}-rules")),
            ("STATUSES_TABLE", format!("{STACK}-statuses")),
            // The stand-in of the Git host.
            ("ALLOWED_PRIVATE_RANGES", "127.0.0.0/8,::1/128".to_owned()),
        ];
        for (name, front) in &self.fronts[..3] {
            environment.push((name, front.url.clone()));
        }
        environment
    }

    fn take_handshakes(&self) -> usize {
        self.fronts.iter().map(|(_, front)| front.take_handshakes()).sum()
    }

    /// Starts a binary and hands it an event; also what it answered.
    async fn measure(&self, binary: &Path, event: Value) -> (Sample, Value) {
        self.take_handshakes();
        for (_, front) in &self.fronts {
            front.take_first_connection();
        }
        let function = Function::start(binary, &self.environment(), self.log.as_file()).await;
        let first_connections = self.fronts.iter().map(|(_, front)| front.take_first_connection());
        let connected = first_connections.flatten().min().map(|at| at - function.begun);
        let (init, init_cpu) = (function.init, function.init_cpu);
        let init_handshakes = self.take_handshakes();
        let first = function.first_event(event).await;
        let sample = Sample {
            connected,
            init,
            init_cpu,
            init_handshakes,
            event: first.wall,
            event_cpu: first.cpu,
            event_handshakes: self.take_handshakes(),
            peak_kib: first.peak_kib,
        };
        (sample, first.answer)
    }

    /// The way of one event through the four functions, each of them just started. Every event is about an object that
    /// nobody has heard of, so that each run does the same.
    async fn pass(&self, binaries: &Path, object: &str) -> [Sample; 4] {
        let now = jiff::Timestamp::now().as_second();
        let body = succeeded().name(object).at(now - 60 - world::START).body();
        let signature = self.world.signature("dev", &body);
        let request = function_url_event("/events/dev", &body, &signature);
        let (intake, answer) = self.measure(&binaries.join("intake"), request).await;
        assert_eq!(answer["statusCode"], 202, "{answer} {}", self.lines());

        let events = self.aws.take();
        let (rules, answer) = self
            .measure(&binaries.join("rules"), sqs_json(&events, "events"))
            .await;
        assert_eq!(
            handled(vec!["message-0".into()], &answer).len(),
            1,
            "{}",
            self.lines()
        );

        let posts = self.aws.take();
        assert_eq!(posts.len(), 1, "{}", self.lines());
        let posted = self.world.host.calls().len();
        let (poster, answer) = self
            .measure(&binaries.join("poster"), sqs_json(&posts, "posts"))
            .await;
        assert_eq!(
            handled(vec!["message-0".into()], &answer).len(),
            1,
            "{}",
            self.lines()
        );
        assert_eq!(self.world.host.calls().len(), posted + 1, "{}", self.lines());

        let event = json!({ "source": "aws.scheduler" });
        let (sweeper, _) = self.measure(&binaries.join("sweeper"), event).await;
        [intake, rules, poster, sweeper]
    }

    /// Lets many events pass through the functions, one function after the other: of all sizes there are, about as many
    /// objects as there are events, so that what is remembered of each is remembered.
    async fn load(&self, binaries: &Path, count: usize) -> Vec<Memory> {
        let now = jiff::Timestamp::now().as_second();
        let mut events = Vec::new();
        let mut intake = self.loaded(binaries, "intake").await;
        for number in 0..count {
            let length = match number % 50 {
                0 => LONGEST_BODY,
                n if n % 10 == 0 => LONGEST_MESSAGE,
                _ => USUAL_MESSAGE,
            };
            let event = succeeded()
                .name(&format!("loaded-{number}"))
                .message(&"x".repeat(length));
            let body = event.at(now - 60 - world::START).body();
            let request = function_url_event("/events/dev", &body, &self.world.signature("dev", &body));
            let answer = intake.function.event(request).await;
            assert_eq!(answer["statusCode"], 202, "{answer} {}", self.lines());
            events.append(&mut self.aws.take());
            intake.count(number + 1, count);
        }
        let mut posts = Vec::new();
        let mut rules = self.loaded(binaries, "rules").await;
        self.batches(&mut rules, &events, "events", &mut posts).await;
        let mut poster = self.loaded(binaries, "poster").await;
        self.batches(&mut poster, &posts, "posts", &mut Vec::new()).await;
        let mut sweeper = self.loaded(binaries, "sweeper").await;
        for number in 0..SWEEPS {
            // What it finds is what poster had no time for.
            sweeper.function.event(json!({ "source": "aws.scheduler" })).await;
            sweeper.count(number + 1, SWEEPS);
        }
        self.aws.take();
        vec![intake.memory, rules.memory, poster.memory, sweeper.memory]
    }

    async fn loaded(&self, binaries: &Path, name: &'static str) -> Loaded {
        let binary = binaries.join(name);
        let function = Function::start(&binary, &self.environment(), self.log.as_file()).await;
        let start_kib = function.peak_kib();
        let memory = Memory {
            function: name,
            start_kib,
            tenth_kib: start_kib,
            peak_kib: start_kib,
            events: 0,
        };
        Loaded { function, memory }
    }

    /// As SQS hands them over; `sent` is what the function sends meanwhile.
    async fn batches(
        &self,
        loaded: &mut Loaded,
        messages: &[Received],
        queue: &str,
        sent: &mut Vec<Received>,
    ) {
        let mut done = 0;
        for batch in messages.chunks(fifo::BATCH) {
            let batch: Vec<Received> = batch
                .iter()
                .enumerate()
                .map(|(number, message)| Received {
                    id: format!("message-{number}"),
                    ..message.clone()
                })
                .collect();
            let answer = loaded.function.event(sqs_json(&batch, queue)).await;
            let failed = answer["batchItemFailures"].as_array().map_or(0, Vec::len);
            assert_eq!(failed, 0, "{answer} {}", self.lines());
            sent.append(&mut self.aws.take());
            done += batch.len();
            loaded.count(done, messages.len());
        }
    }

    fn lines(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }
}

/// A function that is kept warm.
struct Loaded {
    function: Function,
    memory: Memory,
}

impl Loaded {
    fn count(&mut self, done: usize, of: usize) {
        let peak = self.function.peak_kib();
        if done * 10 <= of {
            self.memory.tenth_kib = peak;
        }
        (self.memory.peak_kib, self.memory.events) = (peak, done);
    }
}

/// What a function took at most.
struct Memory {
    function: &'static str,
    start_kib: u64,
    tenth_kib: u64,
    peak_kib: u64,
    events: usize,
}

impl Memory {
    fn row(&self, build: &str) -> String {
        let mib = |kib: u64| format!("{:.1} MiB", f64::from(u32::try_from(kib).unwrap()) / 1024.0);
        format!(
            "| {} | {} | {} | {} | {} |",
            format!("{} {build}", self.function).trim(),
            mib(self.start_kib),
            mib(self.tenth_kib),
            mib(self.peak_kib),
            self.events
        )
    }
}

/// Bytes of an event's message: what most have, the longest Flux sends, and what fills the longest body intake takes.
const USUAL_MESSAGE: usize = 500;
const LONGEST_MESSAGE: usize = 39_000;
const LONGEST_BODY: usize = 255_000;

/// Runs of the sweeper.
const SWEEPS: usize = 3;

const FUNCTIONS: [&str; 4] = ["intake", "rules", "poster", "sweeper"];

#[tokio::main(flavor = "multi_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let mut builds: Vec<(String, PathBuf)> = args.binaries.iter().map(|text| build(text)).collect();
    if builds.is_empty() {
        let release = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release");
        builds.push((String::new(), release));
    }
    let surroundings = Surroundings::new(args.few_roots).await;
    let mut samples: BTreeMap<(usize, String), Vec<Sample>> = BTreeMap::new();
    for run in 0..args.runs + REHEARSALS {
        let empty = builds[0].1.join(EMPTY);
        let request = function_url_event("/", "{}", "");
        let mut of_run = vec![(
            (0, EMPTY.to_owned()),
            surroundings.measure(&empty, request).await.0,
        )];
        let mut order: Vec<usize> = (0..builds.len()).collect();
        order.rotate_left(run % builds.len());
        for number in order {
            let (name, binaries) = &builds[number];
            let passed = surroundings.pass(binaries, &format!("app-{run}-{number}")).await;
            for (position, (function, sample)) in FUNCTIONS.iter().zip(passed).enumerate() {
                let label = format!("{function} {name}").trim().to_owned();
                of_run.push(((1 + position * builds.len() + number, label), sample));
            }
        }
        for (key, sample) in of_run.into_iter().filter(|_| run >= REHEARSALS) {
            samples.entry(key).or_default().push(sample);
        }
    }

    println!(
        "{} runs, {} root certificates, {} CPUs\n",
        args.runs,
        surroundings.tls.root_count,
        std::thread::available_parallelism().unwrap()
    );
    let empty = &samples[&(0, EMPTY.to_owned())];
    starts(&samples, empty);
    cpus(&samples);
    if args.load > 0 {
        println!("Most memory that was ever in use, of a function that many events have passed through:\n");
        println!(
            "| function | after the start | after the first tenth | after {} events | events |",
            args.load
        );
        println!("|---|---|---|---|---|");
        for (name, binaries) in &builds {
            for memory in surroundings.load(binaries, args.load).await {
                println!("{}", memory.row(name));
            }
        }
        println!();
    }
    let kept_sizes = sizes(&builds);
    let kept_init = budget(&samples, empty);
    if kept_sizes && kept_init {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn build(text: &str) -> (String, PathBuf) {
    match text.split_once('=') {
        Some((name, directory)) => (name.to_owned(), directory.into()),
        None => (String::new(), text.into()),
    }
}

type Samples = BTreeMap<(usize, String), Vec<Sample>>;

fn starts(samples: &Samples, empty: &[Sample]) {
    println!("Milliseconds: min / median / p90\n");
    println!("| function | exec → first `/next` | × empty | first event → answer | both | × empty |");
    println!("|---|---|---|---|---|---|");
    let both = |sample: &Sample| sample.init + sample.event;
    for ((_, label), of_function) in samples {
        println!(
            "| {label} | {} | {:.2} | {} | {} | {:.2} |",
            spread(of_function, |sample| sample.init),
            median(of_function, |sample| sample.init) / median(empty, |sample| sample.init),
            spread(of_function, |sample| sample.event),
            spread(of_function, both),
            median(of_function, both) / median(empty, both),
        );
    }
    println!();
}

fn cpus(samples: &Samples) {
    println!(
        "CPU in milliseconds, medians. The estimates are for both together if the CPU were all that counts:"
    );
    println!("the start with a whole CPU, and in brackets the start too with what the memory buys.\n");
    print!("| function | init | first event | TLS handshakes, init + event | peak memory |");
    for size in MEMORY_SIZES {
        print!(" estimate at {size} MB |");
    }
    println!("\n|---|---|---|---|---|{}", "---|".repeat(MEMORY_SIZES.len()));
    for ((_, label), of_function) in samples {
        let init = median(of_function, |sample| sample.init_cpu);
        let event = median(of_function, |sample| sample.event_cpu);
        let last = of_function.last().unwrap();
        let peak = of_function.iter().map(|sample| sample.peak_kib).max().unwrap();
        print!(
            "| {label} | {init:.1} | {event:.1} | {} + {} | {:.1} MiB |",
            last.init_handshakes,
            last.event_handshakes,
            f64::from(u32::try_from(peak).unwrap()) / 1024.0
        );
        for size in MEMORY_SIZES {
            let slower = f64::from(WHOLE_CPU) / f64::from(size);
            print!(" {:.0} ({:.0}) |", init + event * slower, (init + event) * slower);
        }
        println!();
    }
    println!();
}

/// Whether every zip is as small as it should be.
fn sizes(builds: &[(String, PathBuf)]) -> bool {
    println!("| binary | bytes | deflated as in a zip |");
    println!("|---|---|---|");
    let mut kept = true;
    for (name, directory) in builds {
        for function in FUNCTIONS.into_iter().chain([EMPTY]) {
            let binary = directory.join(function);
            if !binary.exists() {
                continue;
            }
            let zipped = deflated(&binary);
            let budget = match function {
                "rules" | "poster" => LARGER_ZIP_BUDGET,
                _ => ZIP_BUDGET,
            };
            let over = if zipped > budget { " over its budget" } else { "" };
            kept &= over.is_empty();
            let label = format!("{function} {name}");
            let bytes = binary.metadata().unwrap().len();
            println!("| {} | {bytes} | {zipped}{over} |", label.trim());
        }
    }
    println!();
    kept
}

/// A zip has the same bytes and some hundred more.
fn deflated(binary: &Path) -> u64 {
    let gzip = Command::new("gzip")
        .args(["-9", "-n", "-c"])
        .arg(binary)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(gzip.status.success());
    gzip.stdout.len().try_into().unwrap()
}

/// Whether the last build starts as quickly as it should: up to where it first talks to anybody, as the empty function does
/// with `/next`; and how long until that.
fn budget(samples: &Samples, empty: &[Sample]) -> bool {
    let empty = median(empty, |sample| sample.init);
    let mut kept = true;
    for (function, budget) in START_BUDGETS {
        let mut of_last = true;
        for ((_, label), of_function) in samples
            .iter()
            .filter(|((_, label), _)| label.starts_with(function))
        {
            let connected = median(of_function, |sample| sample.connected.unwrap_or(sample.init)) / empty;
            let init = median(of_function, |sample| sample.init) / empty;
            of_last = connected <= budget;
            let word = if of_last { "within" } else { "over" };
            println!(
                "{label}: {connected:.2} × empty until it talks to anybody, {word} the budget of {budget}; {init:.2} × until its \
                 first /next"
            );
        }
        kept &= of_last;
    }
    kept
}

fn sorted(samples: &[Sample], value: impl Fn(&Sample) -> Duration) -> Vec<f64> {
    let mut values: Vec<f64> = samples
        .iter()
        .map(|sample| value(sample).as_secs_f64() * 1000.0)
        .collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(samples: &[Sample], value: impl Fn(&Sample) -> Duration) -> f64 {
    let values = sorted(samples, value);
    values[values.len() / 2]
}

fn spread(samples: &[Sample], value: impl Fn(&Sample) -> Duration) -> String {
    let values = sorted(samples, value);
    format!(
        "{:.1} / {:.1} / {:.1}",
        values[0],
        values[values.len() / 2],
        values[values.len() * 9 / 10]
    )
}
