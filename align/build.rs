//! Compiles the few lines of C++ that give dlib's detections with their scores (feature `dlib`).

fn main() {
    #[cfg(feature = "dlib")]
    compile_detector();
}

#[cfg(feature = "dlib")]
fn compile_detector() {
    println!("cargo:rerun-if-changed=cpp/detect.cpp");
    // Always optimised: without it the templates of dlib take a hundred times as long, and the linker may keep this copy
    // of them for the whole program.
    cc::Build::new()
        .cpp(true)
        .std("c++14")
        .opt_level(3)
        .warnings(false)
        .file("cpp/detect.cpp")
        .compile("toonify_detect");
    println!("cargo:rustc-link-lib=dlib");
}
