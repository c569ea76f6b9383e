//! The binary holds the board's files: a newly built board makes a new binary.

fn main() {
    println!("cargo::rerun-if-changed=../../apps/board/dist");
}
