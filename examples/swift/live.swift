// vmette from Swift: swiftc live.swift -I . -I <includedir> -L <libdir> -lvmette
import CVmette

struct VmetteError: Error {
    let message: String
}

/// Takes ownership of an error; nil is success.
func check(_ error: OpaquePointer?) throws {
    guard let error else { return }
    defer { vmette_error_delete(error) }
    throw VmetteError(message: String(cString: vmette_error_message(error)))
}

/// One virtual machine. Letting go of it ends the machine.
final class Session {
    private let handle: OpaquePointer

    init() throws {
        var config: OpaquePointer?
        var session: OpaquePointer?
        try check(vmette_config_new(&config))
        defer { vmette_config_delete(config) }
        try check(vmette_session_new(config, &session))
        handle = session!
        try check(vmette_session_start(handle))
    }

    deinit { vmette_session_delete(handle) }

    /// Writes a whole file of the machine, all or nothing.
    func write(_ text: String, to path: String) throws {
        let bytes = Array(text.utf8)
        let flags = vmette_file_flags(VMETTE_FILE_ATOMIC)
        try check(vmette_session_write_file(handle, path, bytes, bytes.count, flags, 0o644, -1))
    }

    /// Reads a whole file of the machine, of at most a MiB.
    func read(_ path: String) throws -> String {
        var buffer: OpaquePointer?
        try check(vmette_session_read_file(handle, path, 1 << 20, -1, &buffer))
        defer { vmette_buffer_delete(buffer) }
        var size = 0
        let data = vmette_buffer_data(buffer, &size)!
        return String(decoding: UnsafeRawBufferPointer(start: data, count: size), as: UTF8.self)
    }

    /// Runs a shell line and returns what it printed and its exit code.
    func run(_ line: String) throws -> (output: String, code: Int32) {
        var exec: OpaquePointer?
        var process: OpaquePointer?
        var output: OpaquePointer?
        try check(vmette_exec_new(&exec))
        defer { vmette_exec_delete(exec) }
        try check(vmette_exec_set_line(exec, line))
        try check(vmette_session_exec(handle, exec, &process))
        defer { vmette_process_delete(process) }
        try check(vmette_process_wait(process, -1))
        try check(vmette_process_output(process, &output))
        defer { vmette_output_delete(output) }
        var size = 0
        let data = vmette_output_data(output, Int32(VMETTE_COMBINED), &size)!
        let bytes = UnsafeRawBufferPointer(start: data, count: size)
        return (String(decoding: bytes, as: UTF8.self), vmette_process_exit_code(process))
    }
}

do {
    let session = try Session()
    let (text, code) = try session.run("uname -s; exit 7")
    print(text, "exit", code)
    try session.write("one\n", to: "/tmp/list")
    _ = try session.run("echo two >> /tmp/list")
    print(try session.read("/tmp/list"), terminator: "")
} catch let error as VmetteError {
    print("vmette:", error.message)
}
