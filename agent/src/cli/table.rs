//! The table of commands and options. The parser, `--help` and whatever else lists them read it, so that they
//! cannot drift apart.

/// The commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandName {
    /// `run`
    Run,
    /// `refresh`
    Refresh,
    /// `print`
    Print,
    /// `exec`
    Exec,
    /// `status`
    Status,
    /// `whoami`
    Whoami,
}

/// One command.
#[derive(Clone, Copy, Debug)]
pub struct CommandSpec {
    /// Which.
    pub name: CommandName,
    /// As it is typed.
    pub word: &'static str,
    /// What follows it.
    pub operands: &'static str,
    /// One line.
    pub summary: &'static str,
    /// What one has to know beyond the line.
    pub details: &'static str,
}

/// The commands, in the order of `--help`.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: CommandName::Run,
        word: "run",
        operands: "",
        summary: "keep all profiles fresh: the daemon",
        details: "Refreshes each profile before it is due and never ends for the network. SIGHUP reads the configuration\n\
                  again, SIGTERM and SIGINT end it. Tells systemd when every profile has had its first verdict. With `serve` in\n\
                  [rolekeeper] it also answers SDKs over HTTP on a loopback address.",
    },
    CommandSpec {
        name: CommandName::Refresh,
        word: "refresh",
        operands: "[PROFILE...]",
        summary: "refresh what is due, once",
        details: "Refreshes the profiles that are due, or those named, and publishes their files. Credentials that are\n\
                  still fresh and match the configuration are kept, so cron may call it every few minutes. Silent on\n\
                  success, and when a refresh failed while more than the margin is left; see `rolekeeper status`.",
    },
    CommandSpec {
        name: CommandName::Print,
        word: "print",
        operands: "[PROFILE]",
        summary: "print credentials, for credential_process",
        details: "Answers from the published file, after a refresh only where that is due and this user may. A user who\n\
                  may only read gets what is there while it is valid. PROFILE defaults to AWS_PROFILE.",
    },
    CommandSpec {
        name: CommandName::Exec,
        word: "exec",
        operands: "[PROFILE] -- COMMAND [ARGUMENT...]",
        summary: "run a command with the credentials in its environment",
        details: "Replaces itself with COMMAND. Variables that would shadow the credentials are removed. PROFILE defaults\n\
                  to AWS_PROFILE.",
    },
    CommandSpec {
        name: CommandName::Status,
        word: "status",
        operands: "[PROFILE...]",
        summary: "show each profile: source, expiry, next refresh, last error",
        details: "Reads what the last refresh left, of all profiles or of those named; contacts nothing. With --ready it is a\n\
                  health check: it fails with 69 unless each of them has credentials that are valid now.",
    },
    CommandSpec {
        name: CommandName::Whoami,
        word: "whoami",
        operands: "[PROFILE]",
        summary: "ask STS whose credentials these are",
        details: "Calls GetCallerIdentity with the credentials of PROFILE, which defaults to AWS_PROFILE, else to the\n\
                  profile `default`, else to the only managed profile.",
    },
];

/// The options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionName {
    /// `--config`
    Config,
    /// `--output-dir`
    OutputDir,
    /// `-v`
    Verbose,
    /// `--help`
    Help,
    /// `--version`
    Version,
    /// `--force`
    Force,
    /// `--splay`
    Splay,
    /// `--format`
    Format,
    /// `--min-life`
    MinLife,
    /// `--refreshing`
    Refreshing,
    /// `--json`
    Json,
    /// `--ready`
    Ready,
    /// `--role-arn`
    RoleArn,
    /// `--credential-source`
    CredentialSource,
    /// `--profile-name`
    ProfileName,
    /// `--external-id`
    ExternalId,
    /// `--duration-seconds`
    DurationSeconds,
    /// `--role-session-name`
    RoleSessionName,
    /// `--region`
    Region,
}

/// Where an option may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// With every command, and without one.
    Everywhere,
    /// With these commands.
    With(&'static [CommandName]),
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Which.
    pub name: OptionName,
    /// The long form, without dashes.
    pub long: &'static str,
    /// The short form.
    pub short: Option<char>,
    /// The placeholder of its value.
    pub value: Option<&'static str>,
    /// Where it may stand.
    pub scope: Scope,
    /// What it does.
    pub help: &'static str,
}

const NETWORK: Scope = Scope::With(&[
    CommandName::Run,
    CommandName::Refresh,
    CommandName::Print,
    CommandName::Exec,
    CommandName::Whoami,
]);

const fn option(name: OptionName, long: &'static str, scope: Scope, help: &'static str) -> OptionSpec {
    OptionSpec { name, long, short: None, value: None, scope, help }
}

const fn valued(
    name: OptionName,
    long: &'static str,
    value: &'static str,
    scope: Scope,
    help: &'static str,
) -> OptionSpec {
    OptionSpec { name, long, short: None, value: Some(value), scope, help }
}

/// The options, in the order of `--help`.
pub const OPTIONS: &[OptionSpec] = &[
    option(
        OptionName::Force,
        "force",
        Scope::With(&[CommandName::Refresh]),
        "refresh even what is still fresh",
    ),
    valued(
        OptionName::Splay,
        "splay",
        "SECONDS",
        Scope::With(&[CommandName::Refresh]),
        "wait a random part of SECONDS first",
    ),
    valued(
        OptionName::Format,
        "format",
        "FORMAT",
        Scope::With(&[CommandName::Print]),
        "json (default), env, export or ini",
    ),
    valued(
        OptionName::MinLife,
        "min-life",
        "SECONDS",
        Scope::With(&[CommandName::Exec]),
        "refresh first where less life is left (900)",
    ),
    option(
        OptionName::Refreshing,
        "refreshing",
        Scope::With(&[CommandName::Exec]),
        "point COMMAND at the published config, for programs that outlive one session",
    ),
    option(OptionName::Json, "json", Scope::With(&[CommandName::Status]), "print JSON"),
    option(
        OptionName::Ready,
        "ready",
        Scope::With(&[CommandName::Status]),
        "fail unless all these profiles have valid credentials",
    ),
    valued(OptionName::Config, "config", "FILE", Scope::Everywhere, "the AWS config file to read"),
    valued(OptionName::OutputDir, "output-dir", "DIRECTORY", Scope::Everywhere, "where files are published"),
    OptionSpec {
        short: Some('v'),
        ..option(OptionName::Verbose, "verbose", Scope::Everywhere, "say what is done; twice for more")
    },
    OptionSpec { short: Some('h'), ..option(OptionName::Help, "help", Scope::Everywhere, "show this help") },
    OptionSpec {
        short: Some('V'),
        ..option(OptionName::Version, "version", Scope::Everywhere, "show the version")
    },
    valued(OptionName::RoleArn, "role-arn", "ARN", NETWORK, "instead of a file: the role to assume"),
    valued(
        OptionName::CredentialSource,
        "credential-source",
        "SOURCE",
        NETWORK,
        "instead of a file: Ec2InstanceMetadata, EcsContainer or Environment",
    ),
    valued(OptionName::ProfileName, "profile-name", "NAME", NETWORK, "instead of a file: the profile's name"),
    valued(OptionName::ExternalId, "external-id", "ID", NETWORK, "instead of a file: the external id"),
    valued(
        OptionName::DurationSeconds,
        "duration-seconds",
        "SECONDS",
        NETWORK,
        "instead of a file: the session's duration",
    ),
    valued(
        OptionName::RoleSessionName,
        "role-session-name",
        "NAME",
        NETWORK,
        "instead of a file: the session's name",
    ),
    valued(OptionName::Region, "region", "REGION", NETWORK, "instead of a file: the region"),
];

impl CommandName {
    /// The row of this command.
    #[must_use]
    pub fn spec(self) -> Option<&'static CommandSpec> {
        COMMANDS.iter().find(|spec| spec.name == self)
    }
}

impl Scope {
    /// Whether an option of this scope may stand with `command`.
    #[must_use]
    pub fn includes(self, command: Option<CommandName>) -> bool {
        match (self, command) {
            (Self::Everywhere, _) => true,
            (Self::With(commands), Some(command)) => commands.contains(&command),
            (Self::With(_), None) => false,
        }
    }
}
