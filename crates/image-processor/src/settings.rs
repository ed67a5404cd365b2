//! The settings of the image-processor.

use std::{ops::RangeInclusive, time::Duration};

use clap::Parser;
use common::{
    breaker::BreakerPolicy,
    settings::{DatabaseSettings, OpsSettings, ProcessSettings, address, count, duration},
    webhooks::{Secret, TargetUrl},
};

/// Takes announced pictures, has them recognised and stores who is on them.
#[derive(Parser, Clone, Debug)]
#[command(name = "image-processor", version)]
pub struct Settings {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub process: ProcessSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub ops: OpsSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub database: DatabaseSettings,
    /// HTTP address of nsqlookupd, which knows every nsqd
    #[arg(long, env = "NSQ_LOOKUP_ADDRESS", value_name = "NSQ_LOOKUP_ADDRESS", default_value = "nsqlookup:4161", value_parser = address)]
    pub nsq_lookup_address: String,
    /// Address of face-recog; every address that its name resolves to is used
    #[arg(long, env = "GRPC_ADDRESS", value_name = "GRPC_ADDRESS", default_value = "face-recog:50051", value_parser = address)]
    pub grpc_address: String,
    /// Images recognised at once; up to three times as many are claimed ahead
    #[arg(long, env = "PROCESSOR_CONCURRENCY", value_name = "PROCESSOR_CONCURRENCY", default_value_t = 8, value_parser = count(1..=1024))]
    pub processor_concurrency: u32,
    /// Deadline of one Identify call
    #[arg(long, env = "IDENTIFY_TIMEOUT", value_name = "IDENTIFY_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub identify_timeout: Duration,
    /// After it a claimed image may be claimed by another
    #[arg(long, env = "CLAIM_LEASE", value_name = "CLAIM_LEASE", default_value = "2m", value_parser = duration)]
    pub claim_lease: Duration,
    /// Failures of one image before it is FAILEDPROCESSING
    #[arg(long, env = "MAX_ATTEMPTS", value_name = "MAX_ATTEMPTS", default_value_t = 3, value_parser = count(1..=1_000_000))]
    pub max_attempts: u32,
    /// A PENDING image that no message announced for this long is taken from the table itself
    #[arg(long, env = "SWEEP_AFTER", value_name = "SWEEP_AFTER", default_value = "10s", value_parser = duration)]
    pub sweep_after: Duration,
    /// Failed calls in a row that open the circuit breaker
    #[arg(long, env = "BREAKER_MAX_FAILURES", value_name = "BREAKER_MAX_FAILURES", default_value_t = 5, value_parser = count(1..=1_000_000))]
    pub breaker_max_failures: u32,
    /// First break of the circuit breaker
    #[arg(long, env = "BREAKER_TIMEOUT", value_name = "BREAKER_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub breaker_timeout: Duration,
    /// Longest break of the circuit breaker
    #[arg(long, env = "BREAKER_MAX_TIMEOUT", value_name = "BREAKER_MAX_TIMEOUT", default_value = "5m", value_parser = duration)]
    pub breaker_max_timeout: Duration,
    /// Where each image that is done is reported by a POST, signed with WEBHOOK_SECRET; off leaves it to the targets that were added
    #[arg(
        long,
        env = "WEBHOOK_URL",
        value_name = "WEBHOOK_URL",
        default_value = "off",
        hide_env_values = true
    )]
    pub webhook_url: WebhookUrl,
    /// Key of the webhooks' signatures: whsec_ and 24 to 64 bytes in Base64; off where WEBHOOK_URL is off
    #[arg(
        long,
        env = "WEBHOOK_SECRET",
        value_name = "WEBHOOK_SECRET",
        default_value = "off",
        hide_env_values = true
    )]
    pub webhook_secret: WebhookSecret,
}

/// WEBHOOK_URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookUrl {
    /// Only targets that were added get webhooks.
    Off,
    /// It gets webhooks, too.
    At(TargetUrl),
    /// What was set is no URL.
    Wrong,
}

/// Reading it never fails, so that it never has to be shown; [`Settings::check`] says what is wrong with it.
impl From<String> for WebhookUrl {
    fn from(text: String) -> Self {
        match TargetUrl::parse(&text) {
            _ if text == "off" => Self::Off,
            Some(url) => Self::At(url),
            None => Self::Wrong,
        }
    }
}

/// WEBHOOK_SECRET, if it is one. Reading it never fails, so that it never has to be shown; [`Settings::check`] says what is wrong
/// with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSecret(Option<Secret>);

impl From<String> for WebhookSecret {
    fn from(text: String) -> Self {
        Self(Secret::parse(&text))
    }
}

/// What nsqd, as it comes, accepts as a message's timeout.
const NSQD_WAITS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(15 * 60);

impl Settings {
    /// Whether the settings fit together; otherwise a sentence that says which to change.
    ///
    /// An answer must come before the message is announced again, and that before the claim is given up:
    /// IDENTIFY_TIMEOUT < the message's timeout < CLAIM_LEASE.
    pub fn check(&self) -> Result<(), String> {
        if self.webhook_url == WebhookUrl::Wrong {
            return Err("WEBHOOK_URL is neither off nor a URL like https://example.org/hook".to_owned());
        }
        if self.webhook_url != WebhookUrl::Off && self.webhook_secret.0.is_none() {
            return Err("WEBHOOK_URL needs WEBHOOK_SECRET, by which its owner knows that it was us: whsec_ and 24 to 64 random \
                        bytes in Base64, as in echo \"whsec_$(openssl rand -base64 32)\""
                .to_owned());
        }
        if self.identify_timeout >= self.claim_lease {
            return Err(format!(
                "IDENTIFY_TIMEOUT ({:?}) must be shorter than CLAIM_LEASE ({:?}), or an image is claimed by another while its call still runs",
                self.identify_timeout, self.claim_lease
            ));
        }
        if !NSQD_WAITS.contains(&self.message_timeout()) {
            return Err(format!(
                "halfway between IDENTIFY_TIMEOUT ({:?}) and CLAIM_LEASE ({:?}) a message times out, and nsqd takes only {:?} to {:?} for that",
                self.identify_timeout,
                self.claim_lease,
                NSQD_WAITS.start(),
                NSQD_WAITS.end()
            ));
        }
        if self.breaker_timeout > self.breaker_max_timeout {
            return Err(format!(
                "BREAKER_TIMEOUT ({:?}) must not be longer than BREAKER_MAX_TIMEOUT ({:?})",
                self.breaker_timeout, self.breaker_max_timeout
            ));
        }
        Ok(())
    }

    /// How long nsqd waits for a sign of life before it announces an image again: halfway between a call's
    /// deadline and the claim's end.
    pub(crate) fn message_timeout(&self) -> Duration {
        (self.identify_timeout + self.claim_lease) / 2
    }

    /// How long a claimed image may wait for its call: a whole call fits in between the end of the waiting and that of the
    /// claim.
    pub(crate) fn patience(&self) -> Duration {
        self.message_timeout() - self.identify_timeout
    }

    /// Where webhooks are sent to beside the targets that were added, and the key of their signatures.
    pub(crate) fn webhook(&self) -> Option<(TargetUrl, Secret)> {
        match &self.webhook_url {
            WebhookUrl::Off | WebhookUrl::Wrong => None,
            WebhookUrl::At(url) => Some((url.clone(), self.webhook_secret.0.clone()?)),
        }
    }

    pub(crate) fn breaker(&self) -> BreakerPolicy {
        BreakerPolicy {
            max_failures: self.breaker_max_failures,
            timeout: self.breaker_timeout,
            max_timeout: self.breaker_max_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(flags: &[&str]) -> Settings {
        let program = ["image-processor", "--db-username-password", "kube:secret"];
        Settings::try_parse_from(program.iter().chain(flags)).unwrap()
    }

    #[test]
    fn the_defaults_fit_together() {
        let settings = settings(&[]);
        assert_eq!(settings.check(), Ok(()));
        assert!(settings.identify_timeout < settings.message_timeout());
        assert!(settings.message_timeout() < settings.claim_lease);
    }

    #[test]
    fn a_webhook_without_a_key_is_refused_and_neither_is_shown() {
        let url = "--webhook-url=https://example.org/hook?s3cret";
        assert!(settings(&[url]).check().unwrap_err().contains("openssl rand"));
        for wrong in ["--webhook-secret=s3cret", "--webhook-secret=whsec_c2hvcnQ="] {
            let settings = settings(&[url, wrong]);
            assert!(settings.check().is_err(), "{wrong}");
            assert!(!format!("{settings:?}").contains("s3cret"));
        }
        let right = settings(&[url, "--webhook-secret=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
        assert_eq!(right.check(), Ok(()));
        for wrong in
            ["", "on", "example.org", "ftp://example.org", "http://", "https://user:s3cret@example.org"]
        {
            let problem = settings(&[&format!("--webhook-url={wrong}")]).check().unwrap_err();
            assert!(problem.starts_with("WEBHOOK_URL is neither"), "{wrong}: {problem}");
        }
    }

    #[test]
    fn a_call_that_may_outlast_its_claim_is_refused() {
        let problem = settings(&["--identify-timeout", "2m"]).check().unwrap_err();
        assert!(
            problem.contains("IDENTIFY_TIMEOUT (120s) must be shorter than CLAIM_LEASE (120s)"),
            "{problem}"
        );
    }

    #[test]
    fn a_message_that_nsqd_would_not_wait_for_is_refused() {
        for (call, lease) in [("200ms", "800ms"), ("20m", "30m")] {
            let problem =
                settings(&["--identify-timeout", call, "--claim-lease", lease]).check().unwrap_err();
            assert!(problem.ends_with("nsqd takes only 1s to 900s for that"), "{problem}");
        }
    }

    #[test]
    fn a_first_break_longer_than_the_longest_is_refused() {
        let problem = settings(&["--breaker-timeout", "10m"]).check().unwrap_err();
        assert!(problem.contains("BREAKER_TIMEOUT"), "{problem}");
    }
}
