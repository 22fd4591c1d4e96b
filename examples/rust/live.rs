//! vmette from Rust without a crate: the raw declarations, a small safe wrapper, and a program.
//! Build: rustc live.rs -L <libdir> -l vmette

use std::ffi::{c_char, c_int, CStr, CString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::ptr::null_mut;

mod ffi {
    use std::ffi::{c_char, c_int, c_void};

    macro_rules! opaque {
        ($($name:ident),*) => { $(#[repr(C)] pub struct $name { _private: [u8; 0] })* };
    }
    opaque!(
        vmette_error,
        vmette_config,
        vmette_session,
        vmette_exec,
        vmette_process,
        vmette_buffer
    );

    pub const VMETTE_STDIO_PIPE: i32 = 1;
    pub const VMETTE_STDIN: i32 = 0;
    pub const VMETTE_STDOUT: i32 = 1;
    pub const VMETTE_FILE_ATOMIC: u32 = 32;
    pub const VMETTE_MODE_KEEP: u32 = u32::MAX;

    extern "C" {
        pub fn vmette_error_message(error: *const vmette_error) -> *const c_char;
        pub fn vmette_error_delete(error: *mut vmette_error);
        pub fn vmette_config_new(out: *mut *mut vmette_config) -> *mut vmette_error;
        pub fn vmette_config_delete(config: *mut vmette_config);
        pub fn vmette_session_new(
            config: *const vmette_config,
            out: *mut *mut vmette_session,
        ) -> *mut vmette_error;
        pub fn vmette_session_start(session: *mut vmette_session) -> *mut vmette_error;
        pub fn vmette_session_delete(session: *mut vmette_session);
        pub fn vmette_exec_new(out: *mut *mut vmette_exec) -> *mut vmette_error;
        pub fn vmette_exec_delete(exec: *mut vmette_exec);
        pub fn vmette_exec_set_argv(
            exec: *mut vmette_exec,
            argv: *const *const c_char,
            argc: usize,
        ) -> *mut vmette_error;
        pub fn vmette_exec_set_stdin(exec: *mut vmette_exec, mode: i32) -> *mut vmette_error;
        pub fn vmette_exec_set_stdout(exec: *mut vmette_exec, mode: i32) -> *mut vmette_error;
        pub fn vmette_session_exec(
            session: *mut vmette_session,
            exec: *const vmette_exec,
            out: *mut *mut vmette_process,
        ) -> *mut vmette_error;
        pub fn vmette_process_wait_started(
            process: *const vmette_process,
            timeout_ms: i64,
        ) -> *mut vmette_error;
        pub fn vmette_process_wait(
            process: *const vmette_process,
            timeout_ms: i64,
        ) -> *mut vmette_error;
        pub fn vmette_process_take_fd(process: *mut vmette_process, stream: i32) -> c_int;
        pub fn vmette_process_exit_code(process: *const vmette_process) -> i32;
        pub fn vmette_process_delete(process: *mut vmette_process);
        pub fn vmette_session_read_file(
            session: *mut vmette_session,
            path: *const c_char,
            most: usize,
            timeout_ms: i64,
            out: *mut *mut vmette_buffer,
        ) -> *mut vmette_error;
        pub fn vmette_session_write_file(
            session: *mut vmette_session,
            path: *const c_char,
            data: *const c_void,
            size: usize,
            flags: u32,
            mode: u32,
            timeout_ms: i64,
        ) -> *mut vmette_error;
        pub fn vmette_buffer_data(buffer: *const vmette_buffer, size: *mut usize) -> *const c_char;
        pub fn vmette_buffer_delete(buffer: *mut vmette_buffer);
    }
}

/// What a call failed with, as one line.
#[derive(Debug)]
pub struct Error(String);

/// Takes ownership of an error; null is success.
fn check(error: *mut ffi::vmette_error) -> Result<(), Error> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the error is ours, its message lives until the delete.
    unsafe {
        let message: *const c_char = ffi::vmette_error_message(error);
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        ffi::vmette_error_delete(error);
        Err(Error(text))
    }
}

/// One virtual machine. Dropping it ends the machine.
pub struct Session(*mut ffi::vmette_session);

// SAFETY: vmette.h allows every call on a session from any thread.
unsafe impl Send for Session {}
unsafe impl Sync for Session {}

impl Session {
    /// Boots a machine with the defaults and waits until it is ready.
    pub fn start() -> Result<Session, Error> {
        let (mut config, mut session) = (null_mut(), null_mut());
        // SAFETY: handles are used between their new and their delete.
        unsafe {
            check(ffi::vmette_config_new(&mut config))?;
            let made = check(ffi::vmette_session_new(config, &mut session));
            ffi::vmette_config_delete(config);
            made?;
            let session = Session(session);
            check(ffi::vmette_session_start(session.0))?;
            Ok(session)
        }
    }

    /// Starts a command whose stdin and stdout are pipes.
    pub fn exec(&self, argv: &[&str]) -> Result<Process, Error> {
        let owned: Result<Vec<CString>, _> = argv.iter().map(|arg| CString::new(*arg)).collect();
        let owned = owned.map_err(|_| Error("an argument has a NUL byte inside".into()))?;
        let pointers: Vec<*const c_char> = owned.iter().map(|arg| arg.as_ptr()).collect();
        let (mut exec, mut process) = (null_mut(), null_mut());
        // SAFETY: as above; the pointers outlive the call that borrows them.
        unsafe {
            check(ffi::vmette_exec_new(&mut exec))?;
            let made = check(ffi::vmette_exec_set_argv(exec, pointers.as_ptr(), pointers.len()))
                .and_then(|()| check(ffi::vmette_exec_set_stdin(exec, ffi::VMETTE_STDIO_PIPE)))
                .and_then(|()| check(ffi::vmette_exec_set_stdout(exec, ffi::VMETTE_STDIO_PIPE)))
                .and_then(|()| check(ffi::vmette_session_exec(self.0, exec, &mut process)));
            ffi::vmette_exec_delete(exec);
            made?;
            let process = Process(process);
            check(ffi::vmette_process_wait_started(process.0, -1))?;
            Ok(process)
        }
    }
}

impl Session {
    /// Writes a whole file of the machine, all or nothing.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = CString::new(path).map_err(|_| Error("a path has a NUL byte inside".into()))?;
        // SAFETY: the call borrows path and bytes and is done with them when it returns.
        unsafe {
            check(ffi::vmette_session_write_file(
                self.0,
                path.as_ptr(),
                bytes.as_ptr().cast(),
                bytes.len(),
                ffi::VMETTE_FILE_ATOMIC,
                ffi::VMETTE_MODE_KEEP,
                -1,
            ))
        }
    }

    /// Reads a whole file of the machine, of at most `most` bytes.
    pub fn read(&self, path: &str, most: usize) -> Result<Vec<u8>, Error> {
        let path = CString::new(path).map_err(|_| Error("a path has a NUL byte inside".into()))?;
        let (mut buffer, mut size) = (null_mut(), 0);
        // SAFETY: the bytes live until the buffer's delete and are copied before it.
        unsafe {
            check(ffi::vmette_session_read_file(self.0, path.as_ptr(), most, -1, &mut buffer))?;
            let data = ffi::vmette_buffer_data(buffer, &mut size);
            let bytes = std::slice::from_raw_parts(data.cast::<u8>(), size).to_vec();
            ffi::vmette_buffer_delete(buffer);
            Ok(bytes)
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the last use of the handle.
        unsafe { ffi::vmette_session_delete(self.0) }
    }
}

/// A command in a machine. Dropping it leaves the command running.
pub struct Process(*mut ffi::vmette_process);

impl Process {
    fn take(&mut self, stream: c_int) -> Option<File> {
        // SAFETY: the descriptor is ours once taken.
        unsafe {
            let fd = ffi::vmette_process_take_fd(self.0, stream);
            (fd >= 0).then(|| File::from_raw_fd(fd))
        }
    }

    /// The writing end of its stdin, once.
    pub fn stdin(&mut self) -> Option<File> {
        self.take(ffi::VMETTE_STDIN)
    }

    /// The reading end of its stdout, once.
    pub fn stdout(&mut self) -> Option<File> {
        self.take(ffi::VMETTE_STDOUT)
    }

    /// Waits for its end and returns the exit code.
    pub fn wait(&self) -> Result<i32, Error> {
        // SAFETY: the handle is alive.
        unsafe {
            check(ffi::vmette_process_wait(self.0, -1))?;
            Ok(ffi::vmette_process_exit_code(self.0))
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SAFETY: the last use of the handle.
        unsafe { ffi::vmette_process_delete(self.0) }
    }
}

fn work() -> Result<(), Error> {
    let session = Session::start()?;
    let mut sort = session.exec(&["sort", "-r"])?;
    let mut stdin = sort.stdin().expect("a pipe");
    stdin.write_all(b"apple\nfig\npear\n").map_err(|error| Error(error.to_string()))?;
    drop(stdin);
    let mut sorted = String::new();
    let mut stdout = sort.stdout().expect("a pipe");
    stdout.read_to_string(&mut sorted).map_err(|error| Error(error.to_string()))?;
    print!("{sorted}exit {}\n", sort.wait()?);
    session.write("/tmp/list", b"one\n")?;
    session.exec(&["sh", "-c", "echo two >> /tmp/list"])?.wait()?;
    print!("{}", String::from_utf8_lossy(&session.read("/tmp/list", 4096)?));
    match session.exec(&["no-such-program"]) {
        Ok(_) => Err(Error("a program that does not exist was started".into())),
        Err(Error(message)) => {
            println!("{message}");
            Ok(())
        }
    }
}

fn main() {
    if let Err(Error(message)) = work() {
        eprintln!("vmette: {message}");
        std::process::exit(1);
    }
}
