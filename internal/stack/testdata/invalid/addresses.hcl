stack "home" {}

ssh {
  user          = "ubuntu; reboot"   # error: Invalid value
  port          = 65536              # error: Invalid value
  identity_file = "$(id)"            # error: Invalid value
  host_key      = "SHA256:short"     # error: Invalid value
  sudo          = "yes"              # error: Invalid value
}

proxy "edge" {
  address = "-oProxyCommand=reboot"  # error: Invalid value
  domain  = "https://llm.example.com" # error: Invalid value
  server  = "apache"                 # error: Invalid value
  tls "external" {} # error: Invalid value
  relay {
    listen = "0.0.0.0:8080" # error: Invalid value
  }
  ssh {
    user          = "-l"       # error: Invalid value
    port          = 22.5       # error: Invalid value
    identity_file = "a\nb"     # error: Invalid value
    host_key      = ["SHA256"] # error: Invalid value
  }
}

worker "a" {
  address = "10.0.0"                 # error: Invalid value
  model "a" { backend = "127.0.0.1:11434" } # error: Invalid value
  model "b" { backend = "http://127.0.0.1:11434/v1/chat/completions" } # error: Invalid value
  model "c" { backend = "http://user:hunter2hunter2@127.0.0.1" } # error: Invalid value
  model "d" { backend = "unix:///run/engine.sock" } # error: Invalid value
  model "e" { backend = "http://127.0.0.1:99999" } # error: Invalid value
  model "f" { backend = "http://127.0.0.1:11434?x=1" } # error: Invalid value
  model "g" { backend = "http://a b" } # error: Invalid value
  model "h" { backend = "http://0.0.0.0:11434" } # error: Invalid value
}

worker "b" {
  address = "0.0.0.0" # error: Invalid value
  model "a" { backend = "http://127.0.0.1:" } # error: Invalid value
}

worker "c" {
  address = "fe80::1%eth0;id" # error: Invalid value
  model "a" {
    backend  = "http://127.0.0.1:11434"
    upstream = "a\nb" # error: Invalid value
  }
}

worker "d" {
  address = "a b.example.com" # error: Invalid value
  model "a" {
    backend  = "http://127.0.0.1:11434"
    upstream = "" # error: Invalid value
  }
}

worker "e" {
  address = "gpu.example.com.." # error: Invalid value
  model "a" {
    backend     = "http://127.0.0.1:11434"
    concurrency = 0 # error: Invalid value
  }
}

worker "f" {
  address = "" # error: Invalid value
  model "a" {
    backend     = "http://127.0.0.1:11434"
    concurrency = "many" # error: Invalid value
  }
}

worker "g" {
  address = "/etc/passwd" # error: Invalid value
  model "a" { backend = "http://127.0.0.1:11434" }
}

worker "h" {
  address = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" # error: Invalid value
  model "a" { backend = "http://127.0.0.1:11434" }
}
