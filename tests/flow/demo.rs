//! The README's first command.

#[expect(clippy::disallowed_methods, reason = "the demo tells its story up to now")]
const CLOCK: local::Clock = jiff::Timestamp::now;

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_ends_well_and_can_be_repeated() {
    for _ in 0..2 {
        let mut screen = Vec::new();

        local::demo::run(CLOCK, None, &mut screen).await.unwrap();

        let screen = String::from_utf8(screen).unwrap();
        assert!(
            screen
                .contains("13 events, 5 calls to the Git host, none of them a read. 8 events cost no call.")
        );
        assert!(screen.contains("dev/kustomization/webapp") && screen.contains("prod/kustomization/webapp"));
    }
}
