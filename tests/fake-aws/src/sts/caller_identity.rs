//! `GetCallerIdentity`: needs no permission, tells who signed.

use crate::form::escape_xml;
use crate::iam::KeyRecord;

pub(super) fn perform(caller: &KeyRecord) -> String {
    let identity = &caller.identity;
    format!(
        "  <GetCallerIdentityResult>\n    <Arn>{}</Arn>\n    <UserId>{}</UserId>\n    \
         <Account>{}</Account>\n  </GetCallerIdentityResult>\n",
        escape_xml(&identity.arn()),
        escape_xml(&identity.user_id()),
        identity.account(),
    )
}
