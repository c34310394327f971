# The least that a stack needs, and one thing that is brought into its usual form.
stack "home" {}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"

  tls "internal" {}

  relay {
    listen = "[::ffff:127.0.0.1]:8080"
  }
}
