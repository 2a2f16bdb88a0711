//! The official SDK as a consumer: asks STS who it is, with the SDK's own default chain, as often as it is told.
//!
//! `rolekeeper-sdk-consumer [--profile NAME] [ROUNDS]` asks at once and then again for each line of its input, with one
//! client all along, and writes one line for each round: `arn ARN`, or `error` and everything that the SDK has to
//! say. Certificates are held against `AWS_CA_BUNDLE` alone.

use std::env;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sts::error::DisplayErrorContext;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(run())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("rolekeeper-sdk-consumer: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Failure> {
    let mut profile = None;
    let mut rounds: u32 = 1;
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--profile" => profile = arguments.next(),
            _ => rounds = argument.parse()?,
        }
    }
    let config = load(profile).await?;
    let sts = aws_sdk_sts::Client::new(&config);
    let mut input = io::stdin().lock().lines();
    for round in 0..rounds {
        if round > 0 {
            input.next().transpose()?;
        }
        let line = match ask(&sts).await {
            Ok(line) => line,
            Err(error) => format!("error {}", error.replace('\n', " ")),
        };
        writeln!(io::stdout(), "{line}")?;
        io::stdout().flush()?;
    }
    Ok(())
}

async fn load(profile: Option<String>) -> Result<SdkConfig, Failure> {
    let bundle = std::fs::read(env::var("AWS_CA_BUNDLE")?)?;
    let tls =
        TlsContext::builder().with_trust_store(TrustStore::empty().with_pem_certificate(bundle)).build()?;
    let client = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(client);
    if let Some(name) = profile {
        loader = loader.profile_name(name);
    }
    Ok(loader.load().await)
}

async fn ask(sts: &aws_sdk_sts::Client) -> Result<String, String> {
    let identity = sts.get_caller_identity().send().await;
    let identity = identity.map_err(|error| DisplayErrorContext(error).to_string())?;
    Ok(format!("arn {}", identity.arn().unwrap_or("-")))
}
