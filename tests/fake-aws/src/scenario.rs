//! The accounts that a fake starts with: those of the user guide's page on switching to a role with the CLI, and
//! roles for what the page says of chains, external ids and durations. Data only.

use crate::iam::{Directory, Keys, Permission, Role, Trust, TrustStatement};

/// The account of the instance and of the users.
pub const ACCOUNT: &str = "111111111111";
/// The account whose roles are switched to.
pub const OTHER_ACCOUNT: &str = "222222222222";
/// The role of the instance profile: may list `my-bucket-1` and may assume every role of this scenario.
pub const ABCD: &str = "arn:aws:iam::111111111111:role/abcd";
/// The cross-account role: trusts `abcd`, may list `my-bucket-2`.
pub const EFGH: &str = "arn:aws:iam::222222222222:role/efgh";
/// The role of the page's first scenario: trusts account 111111111111.
pub const PRODUCTION: &str = "arn:aws:iam::222222222222:role/ProductionAccessRole";
/// Trusts `abcd` and alice where the request carries [`EXTERNAL_ID`].
pub const GUARDED: &str = "arn:aws:iam::222222222222:role/guarded";
/// The external id of [`GUARDED`].
pub const EXTERNAL_ID: &str = "customer-42/prod:eu";
/// Trusts `abcd` and alice; sessions may last 43200 seconds.
pub const LONG: &str = "arn:aws:iam::222222222222:role/twelve-hours";
/// Trusts `abcd` and alice; sessions may last 3600 seconds.
pub const SHORT: &str = "arn:aws:iam::222222222222:role/one-hour";
/// Trusts `abcd` and alice, also with tags and a source identity; its ARN has a path.
pub const TAGGED: &str = "arn:aws:iam::222222222222:role/teams/blue/tagged";
/// Trusts the OIDC provider `issuer.example` and the SAML provider `idp`, and may assume the first role of the chain.
pub const POD: &str = "arn:aws:iam::222222222222:role/pod";
/// A user with long-term keys who may assume every role of this scenario.
pub const ALICE: &str = "arn:aws:iam::111111111111:user/alice";
/// A user with long-term keys who may do nothing.
pub const BOB: &str = "arn:aws:iam::111111111111:user/bob";
/// The root user of [`ACCOUNT`], who may not assume roles.
pub const ROOT: &str = "arn:aws:iam::111111111111:root";
/// The instance.
pub const INSTANCE_ID: &str = "i-0123456789abcdef0";

/// The role of devices: trusts AWS IoT and Roles Anywhere, may assume every role of this scenario.
pub const EDGE: &str = "arn:aws:iam::111111111111:role/edge";
/// Trusts [`EDGE`].
pub const BEHIND_EDGE: &str = "arn:aws:iam::222222222222:role/behind-edge";
/// The role alias that stands for [`EDGE`].
pub const ROLE_ALIAS: &str = "edge=1,@home";
/// The thing that certificates are attached to.
pub const THING: &str = "thermostat:7";
/// The trust anchor of Roles Anywhere.
pub const TRUST_ANCHOR: &str = "arn:aws:rolesanywhere:eu-west-1:111111111111:trust-anchor/0f-1";
/// The profile of Roles Anywhere, which lists [`EDGE`].
pub const ANYWHERE_PROFILE: &str = "arn:aws:rolesanywhere:eu-west-1:111111111111:profile/0f-2";

/// Alice's keys, those of AWS's own examples.
#[must_use]
pub fn alice() -> Keys {
    keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
}

/// The keys of the root user.
#[must_use]
pub fn root() -> Keys {
    keys("AKIAI44QH8DHBEXAMPLE", "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY")
}

/// Bob's keys.
#[must_use]
pub fn bob() -> Keys {
    keys("AKIAEXAMPLE000000BOB", "bobs/secret+key/with+both/EXAMPLEKEY0000")
}

/// The ARN of a role in the chain `hop1` to `hop5`. The first trusts `abcd`, alice and [`POD`], each other one the
/// former.
#[must_use]
pub fn hop(number: u8) -> String {
    format!("arn:aws:iam::222222222222:role/hop{number}")
}

fn keys(access_key_id: &str, secret_access_key: &str) -> Keys {
    Keys {
        access_key_id: access_key_id.to_owned(),
        secret_access_key: secret_access_key.to_owned(),
        session_token: None,
    }
}

/// The scenario as a directory.
pub(crate) fn directory() -> Directory {
    let mut directory = Directory::default();
    let switch = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"];
    let every_role = format!("arn:aws:iam::{OTHER_ACCOUNT}:role/*");

    let mut abcd = Role::new(ABCD)
        .trust(Trust::of("ec2.amazonaws.com"))
        .permission(Permission::allow("s3:ListBucket", "arn:aws:s3:::my-bucket-1"));
    for action in switch {
        abcd = abcd.permission(Permission::allow(action, &every_role));
    }
    directory.add_role(abcd);
    directory.add_role(
        Role::new(EFGH)
            .trust(Trust::of(ABCD))
            .permission(Permission::allow("s3:ListBucket", "arn:aws:s3:::my-bucket-2")),
    );
    directory.add_role(
        Role::new(PRODUCTION)
            .trust(Trust::of(ROOT))
            .permission(Permission::allow("s3:ListBucket", "arn:aws:s3:::my-bucket-2")),
    );

    let both = || Trust::of(ABCD).and(TrustStatement::new(ALICE));
    let guarded = |principal| TrustStatement::new(principal).external_id(EXTERNAL_ID);
    directory.add_role(Role::new(GUARDED).trust(Trust::nobody().and(guarded(ABCD)).and(guarded(ALICE))));
    directory.add_role(Role::new(LONG).trust(both()).max_session_duration(43_200));
    directory.add_role(Role::new(SHORT).trust(both()));
    let tagged =
        |principal| TrustStatement::new(principal).action("sts:TagSession").action("sts:SetSourceIdentity");
    directory.add_role(Role::new(TAGGED).trust(Trust::nobody().and(tagged(ABCD)).and(tagged(ALICE))));

    directory.add_role(
        Role::new(POD)
            .trust(
                Trust::nobody()
                    .and(
                        TrustStatement::new("arn:aws:iam::222222222222:oidc-provider/issuer.example")
                            .action("sts:AssumeRoleWithWebIdentity"),
                    )
                    .and(
                        TrustStatement::new("arn:aws:iam::222222222222:saml-provider/idp")
                            .action("sts:AssumeRoleWithSAML"),
                    ),
            )
            .permission(Permission::allow("sts:AssumeRole", &hop(1))),
    );
    directory.add_role(hop_role(1).trust(both().and(TrustStatement::new(POD))));
    for number in 2..=5_u8 {
        directory.add_role(hop_role(number).trust(Trust::of(&hop(number.saturating_sub(1)))));
    }

    let anywhere = TrustStatement::new("rolesanywhere.amazonaws.com")
        .action("sts:TagSession")
        .action("sts:SetSourceIdentity");
    let trust = Trust::of("credentials.iot.amazonaws.com").and(anywhere);
    let edge = Role::new(EDGE).trust(trust).max_session_duration(43_200);
    directory.add_role(edge.permission(Permission::allow("sts:AssumeRole", &every_role)));
    directory.add_role(Role::new(BEHIND_EDGE).trust(Trust::of(EDGE)).max_session_duration(43_200));

    directory.add_user(ALICE, alice());
    directory.add_user(BOB, bob());
    directory.add_user(ROOT, root());
    if let Some(permissions) = directory.permissions_mut(ALICE) {
        permissions.extend(switch.map(|action| Permission::allow(action, &every_role)));
    }
    directory
}

/// A hop may assume the next one, and nothing else.
fn hop_role(number: u8) -> Role {
    let next = hop(number.saturating_add(1));
    Role::new(&hop(number)).permission(Permission::allow("sts:AssumeRole", &next))
}
