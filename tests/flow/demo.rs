//! The README's first command.

use hosts::HostKind;
use local::demo::Target;

#[expect(clippy::disallowed_methods, reason = "the demo tells its story up to now")]
const CLOCK: local::Clock = jiff::Timestamp::now;

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_ends_well_and_can_be_repeated() {
    for _ in 0..2 {
        let mut screen = Vec::new();

        local::demo::run(CLOCK, Target::StandIn(HostKind::GitHub), &mut screen)
            .await
            .unwrap();

        let screen = String::from_utf8(screen).unwrap();
        assert!(
            screen
                .contains("13 events, 5 calls to the Git host, none of them a read. 8 events cost no call.")
        );
        assert!(screen.contains("dev/kustomization/webapp") && screen.contains("prod/kustomization/webapp"));
    }
}

/// The end of the demo, from the events on, without the times.
async fn story(kind: HostKind) -> String {
    let mut screen = Vec::new();
    local::demo::run(CLOCK, Target::StandIn(kind), &mut screen)
        .await
        .unwrap();
    let screen = String::from_utf8(screen).unwrap();
    let begin = screen.find("over HTTP\n").unwrap();
    let lines = screen[begin..].lines().skip(2);
    let is_time = |word: &str| word.len() == 8 && word.matches(':').count() == 2;
    lines
        .map(|line| match line.split_at_checked(8) {
            Some((time, rest)) if is_time(time) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_prints_what_the_readme_shows() {
    let readme = include_str!("../../README.md");
    let (_, shown) = readme.split_once("The end of what it prints:\n\n```\n").unwrap();
    let (shown, _) = shown.split_once("```\n").unwrap();
    let shown: String = shown
        .lines()
        .map(|line| match line.get(..8) {
            Some(time) if time.matches(':').count() == 2 => format!("{}\n", &line[8..]),
            _ => format!("{line}\n"),
        })
        .collect();

    assert_eq!(story(HostKind::GitHub).await, shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_the_same_story_to_every_host() {
    let cases = [
        (HostKind::GitLab, "GitLab", "pending", "failed", "success"),
        (
            HostKind::Bitbucket,
            "Bitbucket Cloud",
            "INPROGRESS",
            "FAILED",
            "SUCCESSFUL",
        ),
        (
            HostKind::BitbucketServer,
            "Bitbucket Data Center",
            "INPROGRESS",
            "FAILED",
            "SUCCESSFUL",
        ),
        (HostKind::Gitea, "Gitea", "pending", "failure", "success"),
        (
            HostKind::AzureDevOps,
            "Azure DevOps",
            "pending",
            "error",
            "succeeded",
        ),
    ];
    for (kind, title, pending, failure, success) in cases {
        let story = story(kind).await;

        let told: Vec<&str> = story
            .lines()
            .filter_map(|line| line.split("POST ").nth(1)?.split_whitespace().next())
            .collect();
        assert_eq!(told, [pending, pending, success, failure, success], "{story}");
        for part in [
            format!("What the stand-in of {title} received\n"),
            format!("│ dev/kustomization/webapp  ┆ {success} ┆ reconciliation succeeded ┆ 2     │"),
            format!("│ prod/kustomization/webapp ┆ {success} ┆ reconciliation succeeded ┆ 3     │"),
            "13 events, 5 calls to the Git host, none of them a read. 8 events cost no call.".to_owned(),
        ] {
            assert!(story.contains(&part), "{part}: {story}");
        }
    }
}
