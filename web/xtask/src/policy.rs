//! What the page may do, said to the browser: in the page itself for hosts that send no headers, and as headers for those that do.

/// The content security policy: everything from the page's own origin and nothing in line. WebAssembly has to be allowed by name;
/// `eval` is not. Pictures may be made in the page.
const RULES: [&str; 10] = [
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "worker-src 'self'",
    "connect-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob: data:",
    "font-src 'self'",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
];

/// The policy as one line.
pub fn content_security_policy() -> String {
    RULES.join("; ")
}

/// The four headers that matter to a host: the policy; the two that set the page apart from other origins, without which the
/// browser gives it one thread; and the one that keeps types as they are sent.
pub fn headers() -> [(&'static str, String); 4] {
    [
        ("Content-Security-Policy", content_security_policy()),
        ("Cross-Origin-Opener-Policy", "same-origin".into()),
        ("Cross-Origin-Embedder-Policy", "require-corp".into()),
        ("X-Content-Type-Options", "nosniff".into()),
    ]
}

/// The headers in the form that several static hosts read.
pub fn headers_file() -> String {
    let lines = headers().map(|(name, value)| format!("  {name}: {value}\n"));
    format!("/*\n{}\n/assets/*\n  Cache-Control: public, max-age=31536000, immutable\n", lines.concat())
}

/// The type of a file by its name.
pub fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or("") {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "wasm" => "application/wasm",
        "css" => "text/css; charset=utf-8",
        "json" | "webmanifest" => "application/json",
        "jsonl" | "ts" | "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        _ => "application/octet-stream",
    }
}
