stack "home" {}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {
    email         = "ops@example.com" # error: Not supported yet
    directory_url = "https://localhost:14000/dir" # error: Not supported yet
    certificate   = "cert.pem" # error: Not supported yet
    private_key   = "key.pem"  # error: Not supported yet
    ca_root       = "ca.pem"   # error: Not supported yet
  }
}
