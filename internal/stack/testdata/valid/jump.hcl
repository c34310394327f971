# Ways through other hosts, in every form.
stack "home" {}

ssh {
  identity_file = "~/.ssh/id_ed25519"
  sudo          = "password"
  jump          = "ops@bastion.example.com:2222, [2001:db8::1]:22"
}

proxy "edge" {
  address = "10.0.0.10"
  domain  = "llm.example.com"

  ssh {
    jump = "none"
  }

  tls "internal" {}
}

worker "gpu-1" {
  address = "10.0.0.21"

  ssh {
    jump     = ["vpn.example.com", "edge"]
    host_key = "ssh-ed25519 SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
  }

  model "llama3-8b" {
    backend = "http://127.0.0.1:11434"
  }
}

worker "gpu-2" {
  address = "10.0.0.22"

  model "llama3-8b" {
    backend = "http://127.0.0.1:11434"
  }
}
