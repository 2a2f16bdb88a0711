//! Configuration, end to end: every case of `config/malformed.txt` gives exactly its errors, every case of
//! `config/wellformed.txt` exactly its chains and settings, and `config/certificates.txt` and
//! `config/ineffective.txt` have both. The format is described at the top of the first file.

// A module, because the lints that forbid panics except in tests know a test by this attribute.
#[cfg(test)]
mod cases {
    use std::collections::BTreeMap;
    use std::fmt::Write as _;
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};

    use rolekeeper::config::error::ConfigError;
    use rolekeeper::config::model::{
        Authorization, BaseSource, KeyHolder, Profile, Role, WriteMode, X509Files,
    };
    use rolekeeper::config::{CommandLineProfile, Config, LoadOptions};
    use rolekeeper::environment::Environment;

    #[test]
    fn malformed_configurations_give_their_messages() {
        run("malformed", include_str!("config/malformed.txt"), 90);
    }

    #[test]
    fn wellformed_configurations_give_their_chains() {
        run("wellformed", include_str!("config/wellformed.txt"), 60);
    }

    #[test]
    fn certificates_give_their_chains_and_messages() {
        run("certificates", include_str!("config/certificates.txt"), 50);
    }

    #[test]
    fn ineffective_keys_are_pointed_at() {
        run("ineffective", include_str!("config/ineffective.txt"), 25);
    }

    /// Whatever the lines are: no panic, no secret in a message, and every place is in the file.
    #[test]
    fn lines_in_any_order_are_read_or_refused_with_their_place() {
        let lines = [
            "[profile a]",
            "[profile b]",
            "[default]",
            "[rolekeeper]",
            "[services s]",
            "[other]",
            "role_arn = arn:aws:iam::111122223333:role/r",
            "  role_arn = arn:aws:iam::111122223333:role/r",
            "source_profile = a",
            "source_profile = b",
            "  source_profile = default",
            "credential_source = Ec2InstanceMetadata",
            "aws_access_key_id = AKID",
            "aws_secret_access_key = SECRET",
            "aws_session_token = SECRET",
            "  SECRET",
            "region = us-east-1",
            "services = s",
            "sts =",
            "  endpoint_url = http://127.0.0.1:1",
            "duration_seconds = 7200",
            "rolekeeper_publish = true",
            "managed = explicit",
            "# comment",
            "",
        ];
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("config-generated");
        let options = LoadOptions { system_config: path.clone(), ..LoadOptions::new(false) };
        for seed in 0..3_000_u64 {
            let mut state = seed;
            let mut below = |bound: usize| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                usize::try_from(state >> 33).unwrap().checked_rem(bound).unwrap()
            };
            let count = below(14);
            let text: Vec<_> = (0..count).map(|_| lines[below(lines.len())]).collect();
            File::create(&path).unwrap().write_all(text.join("\n").as_bytes()).unwrap();
            let check = |error: &ConfigError| {
                let message = format!("{error} {error:?} {:?}", error.advice());
                assert!(!message.contains("SECRET"), "seed {seed}: {message}");
                assert!(error.location().line.is_some_and(|line| line <= count), "seed {seed}: {message}");
            };
            match Config::load(&options, &Environment::default()) {
                Err(error) => check(&error),
                Ok(config) => {
                    assert!(!format!("{config:?}").contains("SECRET"), "seed {seed}");
                    config
                        .profiles()
                        .iter()
                        .filter_map(|profile| profile.outcome.as_ref().err())
                        .for_each(check);
                }
            }
        }
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_thousand_profiles_load_in_the_order_of_the_file() {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("config-thousand");
        let mut text = String::from("[profile base]\ncredential_source = Ec2InstanceMetadata\n");
        let names: Vec<_> = (0..1000).rev().map(|number| format!("team-{number}")).collect();
        for name in &names {
            write!(
                text,
                "[profile {name}]\nrole_arn = arn:aws:iam::111122223333:role/{name}\nsource_profile = base\noutput = json\n"
            )
            .unwrap();
        }
        File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        let options = LoadOptions { system_config: path.clone(), ..LoadOptions::new(false) };
        let config = Config::load(&options, &Environment::default()).unwrap();
        assert!(config.profiles().iter().map(|profile| &profile.name).eq(&names));
        assert!(config.profiles().iter().all(|profile| profile.outcome.is_ok()));
        assert_eq!(config.file(), Some(path.as_path()));
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn root_believes_no_file_that_others_can_change() {
        // A directory of root's; the build directory may belong to anybody.
        let dir = std::env::temp_dir().join(format!("rolekeeper-config-root-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let (config, credentials) = (dir.join("config"), dir.join("credentials"));
        File::create(&config).unwrap().write_all(b"[profile a]\nregion = us-east-1\n").unwrap();
        File::create(&credentials).unwrap();
        let load = |is_root| {
            let options = LoadOptions { system_config: config.clone(), ..LoadOptions::new(is_root) };
            Config::load(&options, &Environment::default()).map_err(|error| error.to_string())
        };
        if std::os::unix::fs::chown(&credentials, Some(0), Some(0)).is_ok() {
            load(true).unwrap();
            std::os::unix::fs::chown(&credentials, Some(12345), None).unwrap();
            let place = credentials.display();
            assert_eq!(
                load(true).unwrap_err(),
                format!("{place}: not trusted by root: `{place}` belongs to user 12345")
            );
            fs::set_permissions(&config, fs::Permissions::from_mode(0o646)).unwrap();
            let place = config.display();
            assert_eq!(
                load(true).unwrap_err(),
                format!("{place}: not trusted by root: `{place}` has mode 0646, which lets others write")
            );
        } else {
            println!("skipped in part: only root can make files that belong to others");
            assert!(load(true).unwrap_err().contains("belongs to user"));
        }
        load(false).unwrap();
        fs::remove_dir_all(dir).unwrap();
    }

    /// Runs every case of `table`, which has at least `least` of them, and reports all that fail.
    fn run(table: &str, text: &str, least: usize) {
        let mut titles = Vec::new();
        let mut report = String::new();
        for case in text.split("\n=== ").skip(1) {
            let (title, body) = case.split_once('\n').unwrap();
            assert!(!titles.contains(&title), "two cases are called `{title}`");
            titles.push(title);
            let blocks = blocks(body);
            let expected = blocks.get("expect").map_or("", String::as_str).trim_end();
            let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("config-{table}-{}", titles.len()));
            let got = outcome(&dir, &blocks);
            fs::remove_dir_all(&dir).unwrap();
            if got.trim_end() != expected {
                write!(report, "=== {title}\n--- expected\n{expected}\n--- got\n{got}").unwrap();
            }
        }
        assert!(titles.len() >= least, "only {} cases in {table}", titles.len());
        assert!(report.is_empty(), "cases of {table} that differ:\n{report}");
    }

    /// The `--- NAME` blocks of one case. `<tab>` and the like stand for what an editor would not keep.
    fn blocks(body: &str) -> BTreeMap<String, String> {
        let mut blocks = BTreeMap::new();
        for block in format!("\n{body}").split("\n--- ").skip(1) {
            let (name, text) = block.split_once('\n').unwrap_or((block, ""));
            let text = text
                .replace("<tab>", "\t")
                .replace("<esc>", "\u{1b}")
                .replace("<cr>", "\r")
                .replace("<bom>", "\u{feff}")
                .replace("<end>", "");
            blocks.insert(name.to_owned(), text);
        }
        blocks
    }

    /// What loading the files of one case gives, with the case's directory written as `DIR`.
    fn outcome(dir: &Path, blocks: &BTreeMap<String, String>) -> String {
        fs::create_dir_all(dir).unwrap();
        let place = |text: &str| text.replace("DIR", dir.to_str().unwrap());
        for (name, text) in blocks.iter().filter_map(|(name, text)| Some((name.strip_prefix("file ")?, text)))
        {
            fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
            File::create(dir.join(name)).unwrap().write_all(place(text).as_bytes()).unwrap();
        }
        let lines =
            |name| blocks.get(name).map_or("", String::as_str).lines().filter(|line| !line.is_empty());
        let environment: Environment = lines("environment")
            .map(|line| line.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), place(value)))
            .collect();
        let mut options = LoadOptions::new(false);
        options.system_config = dir.join("config");
        options.passwd = dir.join("passwd");
        options.group = dir.join("group");
        let mut resolve = Vec::new();
        let mut select = None;
        for line in lines("options") {
            let (name, value) = line.split_once('=').unwrap();
            match name {
                "config" => options.config = Some(PathBuf::from(place(value))),
                "system_config" => options.system_config = PathBuf::from(place(value)),
                "resolve" => resolve.push(value.to_owned()),
                "select" => select = Some(value.split(',').map(str::to_owned).collect::<Vec<_>>()),
                _ => set(options.command_line.get_or_insert_default(), name, value),
            }
        }
        let mut out = String::new();
        match Config::load(&options, &environment) {
            Err(error) => refused(&mut out, "load", &error),
            Ok(config) => {
                for warning in &config.warnings {
                    writeln!(out, "warning: {warning}").unwrap();
                }
                if let Some(output_dir) = &config.settings.output_dir {
                    writeln!(out, "output_dir: {}", output_dir.display()).unwrap();
                }
                match config.select(select.as_deref().unwrap_or_default()) {
                    Err(error) => refused(&mut out, "select", &error),
                    Ok(profiles) => {
                        for profile in profiles {
                            shown(&mut out, &profile.name, profile.outcome.as_ref());
                        }
                    }
                }
                for name in resolve {
                    shown(&mut out, &format!("resolve {name}"), config.resolve(&name).as_ref());
                }
            }
        }
        assert!(!shows_secret(&out), "a secret in: {out}");
        out.replace(dir.to_str().unwrap(), "DIR")
    }

    /// The secrets of the tables begin with `SECRET`; so does a part of a variable's name.
    fn shows_secret(text: &str) -> bool {
        text.replace("AWS_SECRET_ACCESS_KEY", "").contains("SECRET")
    }

    fn set(given: &mut CommandLineProfile, option: &str, value: &str) {
        let field = match option {
            "role-arn" => &mut given.role_arn,
            "credential-source" => &mut given.credential_source,
            "profile-name" => &mut given.profile_name,
            "external-id" => &mut given.external_id,
            "duration-seconds" => &mut given.duration_seconds,
            "role-session-name" => &mut given.role_session_name,
            "region" => &mut given.region,
            _ => panic!("no option `{option}`"),
        };
        *field = Some(value.to_owned());
    }

    fn refused(out: &mut String, what: &str, error: &ConfigError) {
        writeln!(out, "{what}: {error}").unwrap();
        assert!(!shows_secret(&format!("{error:?}")), "a secret in the debug form");
        if let Some(advice) = error.advice() {
            writeln!(out, "advice: {advice}").unwrap();
        }
    }

    /// What is asked for in the session of `role`.
    fn session(out: &mut String, role: &Role) {
        role.mfa_serial.iter().for_each(|value| write!(out, " mfa={value}").unwrap());
        let policies = &role.policies;
        policies.inline.iter().for_each(|text| write!(out, " policy={}", text.replace('\n', "\\n")).unwrap());
        if !policies.arns.is_empty() {
            write!(out, " policies={:?}", policies.arns).unwrap();
        }
        if !role.tags.is_empty() {
            write!(out, " tags={:?}", role.tags).unwrap();
        }
        if !role.transitive_tags.is_empty() {
            write!(out, " transitive={:?}", role.transitive_tags).unwrap();
        }
        role.source_identity.iter().for_each(|value| write!(out, " identity={value}").unwrap());
    }

    fn write_base(out: &mut String, base: &BaseSource) {
        match base {
            BaseSource::Ec2InstanceMetadata => out.push_str("ec2"),
            BaseSource::StaticKeys { holder, issued } => {
                let credentials = &issued.credentials;
                let holder = match holder {
                    KeyHolder::Profile(name) => name,
                    KeyHolder::Environment => "from the environment",
                };
                write!(out, "keys({holder} {}", credentials.access_key_id).unwrap();
                if credentials.session_token.is_some() {
                    out.push_str(" +session");
                }
                issued.expiration.iter().for_each(|at| write!(out, " until={at}").unwrap());
                issued.account_id.iter().for_each(|id| write!(out, " account={id}").unwrap());
                out.push(')');
                // Secrets of the table begin with `SECRET`; only what tells them apart is shown.
                let secret = credentials.secret_access_key.expose().strip_prefix("SECRET").unwrap();
                if !secret.is_empty() {
                    write!(out, " secret-ends={secret}").unwrap();
                }
            }
            BaseSource::EcsContainer(settings) => {
                write!(out, "container({}", settings.url).unwrap();
                match &settings.authorization {
                    None => {}
                    Some(Authorization::Text(text)) => {
                        write!(out, " +{} characters", text.expose().len()).unwrap();
                    }
                    Some(Authorization::File(file)) => write!(out, " +{}", file.display()).unwrap(),
                }
                out.push(')');
            }
            BaseSource::Process(process) => {
                write!(out, "process({} {:?}", process.profile, process.words).unwrap();
                process.account_id.iter().for_each(|id| write!(out, " account={id}").unwrap());
                out.push(')');
            }
            BaseSource::WebIdentity { role, token_file } => {
                out.push_str("web identity(");
                write_role(out, role);
                write!(out, " by {})", token_file.display()).unwrap();
            }
            BaseSource::Saml { role, principal_arn, assertion_file } => {
                out.push_str("saml(");
                write_role(out, role);
                write!(out, " of {principal_arn} by {})", assertion_file.display()).unwrap();
            }
            BaseSource::Iot(iot) => {
                write!(out, "iot({} {}", iot.endpoint, iot.role_alias).unwrap();
                iot.thing_name.iter().for_each(|name| write!(out, " thing={name}").unwrap());
                write_files(out, &iot.files);
                iot.ca_file.iter().for_each(|path| write!(out, " ca={}", path.display()).unwrap());
                out.push(')');
            }
            BaseSource::RolesAnywhere(settings) => {
                let name = |arn: &str| arn.rsplit(':').next().unwrap().to_owned();
                write!(out, "anywhere({} {} ", settings.endpoint, settings.region).unwrap();
                let arns = [&settings.trust_anchor_arn, &settings.profile_arn, &settings.role_arn];
                write!(out, "{}", arns.map(|arn| name(arn)).join(" ")).unwrap();
                write_files(out, &settings.files);
                settings.duration_seconds.iter().for_each(|value| write!(out, " duration={value}").unwrap());
                settings.session_name.iter().for_each(|value| write!(out, " session={value}").unwrap());
                out.push(')');
            }
            _ => out.push_str("another source"),
        }
    }

    fn write_files(out: &mut String, files: &X509Files) {
        write!(out, " {} {}", files.certificate.display(), files.private_key.display()).unwrap();
        files.chain.iter().for_each(|path| write!(out, " chain={}", path.display()).unwrap());
    }

    fn write_role(out: &mut String, role: &Role) {
        out.push_str(&role.role_arn.replace("arn:aws:iam::111122223333:role/", ""));
        role.role_session_name.iter().for_each(|value| write!(out, " session={value}").unwrap());
        role.external_id.iter().for_each(|value| write!(out, " external={value}").unwrap());
        role.duration_seconds.iter().for_each(|value| write!(out, " duration={value}").unwrap());
        session(out, role);
    }

    /// One line per profile: the chain, then whatever is not the default.
    fn shown(out: &mut String, name: &str, outcome: Result<&Profile, &ConfigError>) {
        let profile = match outcome {
            Ok(profile) => profile,
            Err(error) => return refused(out, name, error),
        };
        assert!(!format!("{profile:?}").contains("SECRET"), "a secret in the debug form");
        write!(out, "{name}: ").unwrap();
        write_base(out, &profile.chain.base);
        for role in &profile.chain.roles {
            out.push_str(" -> ");
            write_role(out, role);
        }
        if let Some(region) = &profile.region {
            let endpoint = profile.sts.endpoint.resolve(region).unwrap();
            write!(out, " | {region}").unwrap();
            if endpoint.url != format!("https://sts.{region}.amazonaws.com") {
                write!(out, " {} as {}", endpoint.url, endpoint.signing_region).unwrap();
            }
        }
        profile.sts.ca_bundle.iter().for_each(|path| write!(out, " | ca={}", path.display()).unwrap());
        if profile.imds.endpoint != "http://169.254.169.254" {
            write!(out, " | imds={}", profile.imds.endpoint).unwrap();
        }
        if profile.imds.disabled {
            out.push_str(" | imds off");
        }
        profile
            .imds
            .instance_profile_name
            .iter()
            .for_each(|name| write!(out, " | instance profile {name}").unwrap());
        let publication = &profile.publication;
        publication.owner.iter().for_each(|owner| write!(out, " | owner={owner}").unwrap());
        publication.group.iter().for_each(|group| write!(out, " | group={group}").unwrap());
        if publication.mode != 0o600 {
            write!(out, " | mode={:04o}", publication.mode).unwrap();
        }
        publication.credential_process.iter().for_each(|line| write!(out, " | process={line}").unwrap());
        publication
            .credentials_file
            .iter()
            .for_each(|path| write!(out, " | into {}", path.display()).unwrap());
        if publication.write_mode == WriteMode::InPlace {
            out.push_str(" in place");
        }
        if !profile.sts_fallback_regions.is_empty() {
            write!(out, " | fallback={}", profile.sts_fallback_regions.join(",")).unwrap();
        }
        if let Some(hook) = &profile.on_rotate {
            write!(out, " | hook={:?} {}s", hook.words, hook.timeout.as_secs()).unwrap();
        }
        let refresh = &profile.refresh;
        if (refresh.after_percent, refresh.margin.as_secs()) != (50, 1200) {
            write!(out, " | refresh={}% margin={}", refresh.after_percent, refresh.margin.as_secs()).unwrap();
        }
        out.push('\n');
    }
}
