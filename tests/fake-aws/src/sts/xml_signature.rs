//! XML signatures as identity providers make them: inside the element that they are over, its exclusive canonical form
//! without comments, SHA-256, RSA. The canonical form is one library's, digest and signature are another's. Nothing
//! that a client does is used.

use bergshamra_c14n::{C14nMode, canonicalize_doc};
use bergshamra_xml::{Document, NodeId, NodeSet, XmlDocument};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};

use crate::base64;

const XMLDSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const SHA256_URI: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";

/// The document that `template` makes around the signature of its one element `ID="id"`. What is signed is what
/// `template` makes around nothing.
pub(super) fn sign(key: &KeyPair, id: &str, template: impl Fn(&str) -> String) -> Option<String> {
    let element = |signed_info: &str, value: &str| {
        format!(
            "<ds:Signature xmlns:ds=\"{XMLDSIG}\">{signed_info}<ds:SignatureValue>{value}</ds:SignatureValue>\
             </ds:Signature>"
        )
    };
    let unsigned = XmlDocument::parse(template("")).ok()?;
    let digest = digest_of(&unsigned.parse_doc().ok()?, id)?;
    let signed_info = format!(
        "<ds:SignedInfo><ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\"/><ds:SignatureMethod \
         Algorithm=\"{RSA_SHA256}\"/><ds:Reference URI=\"#{id}\"><ds:Transforms><ds:Transform \
         Algorithm=\"{ENVELOPED}\"/><ds:Transform Algorithm=\"{EXCLUSIVE}\"/></ds:Transforms><ds:DigestMethod \
         Algorithm=\"{SHA256_URI}\"/><ds:DigestValue>{}</ds:DigestValue></ds:Reference></ds:SignedInfo>",
        base64::encode_padded(&digest)
    );
    let half = XmlDocument::parse(template(&element(&signed_info, ""))).ok()?;
    let half = half.parse_doc().ok()?;
    let canonical = canonical(&half, XmlDocument::find_element(&half, XMLDSIG, "SignedInfo")?, None)?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &canonical, &mut signature).ok()?;
    Some(template(&element(&signed_info, &base64::encode_padded(&signature))))
}

/// Whether the element `ID="id"` of `text` holds a signature over itself, made with `key`. IDs that occur twice, other
/// algorithms, and a second signature are refused: each is a way to have something else believed than was signed.
pub(super) fn is_signed(key: &KeyPair, id: &str, text: &str) -> bool {
    verified(key, id, text).is_some()
}

fn verified(key: &KeyPair, id: &str, text: &str) -> Option<()> {
    let xml = XmlDocument::parse(text.to_owned()).ok()?;
    let document = xml.parse_doc().ok()?;
    let signed = *xml.build_id_map(&document).ok()?.get(id)?;
    let signature = only(&document, signed, "Signature")?;
    let info = only(&document, signature, "SignedInfo")?;
    let reference = only(&document, info, "Reference")?;
    let algorithm = |parent, name| document.get_attribute(only(&document, parent, name)?, "Algorithm");
    let transforms = only(&document, reference, "Transforms")?;
    let transforms: Vec<_> = document
        .child_elements_by_name_ns(transforms, XMLDSIG, "Transform")
        .into_iter()
        .map(|transform| document.get_attribute(transform, "Algorithm"))
        .collect();
    let is_usual = XmlDocument::find_elements(&document, XMLDSIG, "Signature") == [signature]
        && document.get_attribute(reference, "URI") == Some(format!("#{id}").as_str())
        && algorithm(info, "CanonicalizationMethod") == Some(EXCLUSIVE)
        && algorithm(info, "SignatureMethod") == Some(RSA_SHA256)
        && algorithm(reference, "DigestMethod") == Some(SHA256_URI)
        && transforms == [Some(ENVELOPED), Some(EXCLUSIVE)];
    let bytes = |parent, name| {
        let text = document.text_content_deep(only(&document, parent, name)?);
        base64::decode_padded(&text.split_whitespace().collect::<String>())
    };
    let is_whole = bytes(reference, "DigestValue")? == digest_of(&document, id)?;
    let canonical = canonical(&document, info, None)?;
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public());
    public.verify(&canonical, &bytes(signature, "SignatureValue")?).ok()?;
    (is_usual && is_whole).then_some(())
}

/// The one child of this name.
fn only(document: &Document<'_>, parent: NodeId, name: &str) -> Option<NodeId> {
    let children = document.child_elements_by_name_ns(parent, XMLDSIG, name);
    let [child] = children.as_slice() else { return None };
    Some(*child)
}

/// The digest of the element `ID="id"` without the signature in it.
fn digest_of(document: &Document<'_>, id: &str) -> Option<Vec<u8>> {
    let is_it = |node: &NodeId| document.get_attribute(*node, "ID") == Some(id);
    let element = document.descendants(document.root()).into_iter().find(is_it)?;
    let signature = document.first_child_element_by_name_ns(element, XMLDSIG, "Signature");
    Some(digest(&SHA256, &canonical(document, element, signature)?).as_ref().to_vec())
}

/// The canonical form of `element` without `left_out`.
fn canonical(document: &Document<'_>, element: NodeId, left_out: Option<NodeId>) -> Option<Vec<u8>> {
    let mut nodes = NodeSet::tree_without_comments(element, document);
    if let Some(left_out) = left_out {
        nodes = nodes.subtract(&NodeSet::tree_with_comments(left_out, document));
    }
    let no_prefixes: &[&str] = &[];
    canonicalize_doc(document, C14nMode::Exclusive, Some(&nodes), no_prefixes).ok()
}
