//! How OpenBLAS computes: on one thread, and with instructions that the processor has.

use std::{
    env,
    ffi::{CStr, c_char, c_int},
    os::unix::process::CommandExt,
    process::Command,
};

unsafe extern "C" {
    fn openblas_set_num_threads(count: c_int);
    fn openblas_get_corename() -> *const c_char;
}

/// Keeps OpenBLAS from spreading each small matrix over all cores, which the workers use already.
///
/// Its environment variable `OPENBLAS_NUM_THREADS` is read when the library is loaded, before `main`, so
/// setting it in here would come too late.
pub(crate) fn one_thread() {
    // SAFETY: a plain setter of the OpenBLAS that dlib-face-recognition links (its feature `openblas`); no
    // other thread is in BLAS before the models are loaded.
    unsafe { openblas_set_num_threads(1) }
}

/// The setting of OpenBLAS that names its kernels.
const CORE_TYPE: &str = "OPENBLAS_CORETYPE";

/// The kernels of 2004, which OpenBLAS takes for a processor that it does not know.
const OLDEST: &str = "Prescott";

/// Starts the process again with faster kernels where OpenBLAS does not know the processor, because that is newer.
///
/// OpenBLAS chooses when it is loaded, before `main`, by the number of the processor's model instead of by what it can do.
/// Debian 12 has a version of 2022: on an Intel processor of 2023 (Emerald Rapids) it computes as on a Pentium 4. The
/// process keeps its id, its arguments and its open files. Call it in `main` before the weights are loaded.
pub fn choose_kernels() {
    if env::var_os(CORE_TYPE).is_some() || core_name() != OLDEST {
        return;
    }
    let (Some(kernels), Ok(program)) = (fitting(), env::current_exe()) else { return };
    // It returns only when it has failed; then the slower kernels have to do.
    let _ = Command::new(program).args(env::args_os().skip(1)).env(CORE_TYPE, kernels).exec();
}

fn core_name() -> String {
    // SAFETY: OpenBLAS answers with a text that ends with a zero and is never freed.
    unsafe { CStr::from_ptr(openblas_get_corename()) }.to_string_lossy().into_owned()
}

/// The newest kernels whose instructions the processor has.
#[cfg(target_arch = "x86_64")]
fn fitting() -> Option<&'static str> {
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    if avx512 { Some("SkylakeX") } else { avx2.then_some("Haswell") }
}

/// Elsewhere OpenBLAS has no such fallback.
#[cfg(not(target_arch = "x86_64"))]
fn fitting() -> Option<&'static str> {
    None
}
