//! Compiles the few lines of C that call libjpeg-turbo.

fn main() {
    let source = "src/picture/jpeg.c";
    println!("cargo::rerun-if-changed={source}");
    println!("cargo::rustc-link-lib=jpeg");
    cc::Build::new().file(source).warnings(true).extra_warnings(true).compile("kube_face_jpeg");
}
