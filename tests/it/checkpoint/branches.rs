//! Branches that are damaged, of another model, or not there.

use super::*;

const FILE: &str = "branches.safetensors";
const TENSOR: &str = "machine.h.2.mlp.c_fc.bias";

/// A copy whose branches have another header.
fn damaged(change: impl FnOnce(&mut Map<String, Value>)) -> Copy {
    let copy = Copy::of("branches");
    copy.rewrite(FILE, |header, _| change(header));
    copy
}

#[test]
fn a_model_says_whether_it_has_branches_and_its_hash_covers_them() {
    let copy = Copy::of("branches");
    let with = copy.load(Precision::Int8).unwrap();
    let branches = with.info().branches.clone().unwrap();
    assert_eq!((branches.first_layer, branches.provenance.as_deref()), (1, Some("noise")));
    copy.rewrite(FILE, |header, _| header["__metadata__"]["provenance"] = json!("other noise"));
    let other = copy.load(Precision::Int8).unwrap();
    fs::rename(copy.path(FILE), copy.path("elsewhere")).unwrap();
    let without = copy.load(Precision::Int8).unwrap();
    assert_eq!(without.info().branches, None);
    let hashes = [with, other, without].map(|s| s.info().hash.clone());
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2], "{hashes:?}");

    let options = LoadOptions {
        source: ModelSource::Directory(copy.0.path().to_owned()),
        branches: BranchSource::File(copy.path("elsewhere")),
        ..LoadOptions::default()
    };
    let named = model::load(&LoadOptions { device: Device::Cpu, threads: 1, cache: None, ..options }).unwrap();
    assert_eq!(named.info().hash, hashes[1], "branches that are named count as the model's own");
}

#[test]
fn a_tensor_that_is_missing_misshapen_or_too_many_is_named() {
    let missing = damaged(|header| {
        let tensor = header.remove(TENSOR).unwrap();
        header.insert("machine.h.0.mlp.c_fc.bias".to_owned(), tensor);
    });
    missing.refused(FILE, &["`machine.h.2.mlp.c_fc.bias` is missing", "the file has 52 tensors"]);
    damaged(|header| header[TENSOR]["shape"] = json!([2, 32])).refused(FILE, &[TENSOR, "[2, 32]", "[64]"]);
    damaged(|header| header[TENSOR]["dtype"] = json!("I32")).refused(FILE, &[TENSOR, "I32", "expected F32, F16 or BF16"]);
    let copy = Copy::of("branches");
    copy.rewrite(FILE, |header, data| {
        header.insert("human.wte.weight".to_owned(), json!({"dtype": "F32", "shape": [1], "data_offsets": [data.len(), data.len() + 4]}));
        data.extend([0; 4]);
    });
    copy.refused(FILE, &["`human.wte.weight`", "no branch from layer 1 to 2 has"]);
    let copy = Copy::of("branches");
    copy.rewrite(FILE, |header, data| {
        let end = header[TENSOR]["data_offsets"][1].as_u64().unwrap() as usize;
        data[end - 4..end].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    copy.refused(FILE, &[TENSOR, "NaN", "expected finite numbers"]);
}

#[test]
fn a_header_that_does_not_fit_its_base_is_refused() {
    for (key, value, parts) in [
        ("format", json!("highwater-branches-2"), &["`highwater-branches-2`", "expected `highwater-branches-1`"][..]),
        ("format", json!("\n".repeat(4000)), &["`format`"]),
        ("first_layer", json!("0"), &["`first_layer`", "`0`", "expected 1 to 2"]),
        ("first_layer", json!("3"), &["`3`", "expected 1 to 2"]),
        ("first_layer", json!("-1"), &["`-1`"]),
        ("first_layer", json!("one"), &["`one`"]),
        ("first_layer", json!("2"), &["`human.h.1.", "layer 2 to 2"]),
        ("base", json!("0123456789abcdef"), &["was made for the model 0123456789abcdef"]),
        ("provenance", json!("a".repeat(70_000)), &["`provenance`", "70000 bytes"]),
    ] {
        damaged(|header| header["__metadata__"][key] = value).refused(FILE, parts);
    }
    damaged(|header| drop(header.remove("__metadata__"))).refused(FILE, &["`format`", "expected `highwater-branches-1`"]);
    // one layer more in the base: the branches lack its last one
    let copy = Copy::of("branches");
    copy.write(FILE, fs::read(copy.path("model.safetensors")).unwrap());
    copy.refused(FILE, &["`format`"]);
}

#[test]
fn the_base_that_branches_name_is_compared() {
    let copy = Copy::of("branches");
    fs::rename(copy.path(FILE), copy.path("away")).unwrap();
    let base = copy.load(Precision::Int8).unwrap().info().hash.clone();
    fs::rename(copy.path("away"), copy.path(FILE)).unwrap();
    copy.rewrite(FILE, |header, _| header["__metadata__"]["base"] = json!(base));
    copy.load(Precision::Fp32).unwrap();
    copy.set("layer_norm_epsilon", json!(1e-4));
    copy.refused(FILE, &[&base, "give the branches of this model"]);
}

#[test]
fn truncated_branches_and_a_link_that_leads_nowhere_are_refused() {
    let copy = Copy::of("branches");
    let whole = fs::read(copy.path(FILE)).unwrap();
    for cut in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        copy.write(FILE, &whole[..cut]);
        copy.refused(FILE, &["safetensors"]);
    }
    fs::remove_file(copy.path(FILE)).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/absent/branches", copy.path(FILE)).unwrap();
        copy.refused(FILE, &["cannot be read"]);
    }
}
