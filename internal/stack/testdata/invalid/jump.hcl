# Hops that can't be, each at its own line.
stack "home" {}

ssh {
  jump = ["ops@bastion.example.com", "2001:db8::1"] # error: Invalid value
}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"

  ssh {
    jump = "gpu-1" # error: Jumps in a circle
  }

  tls "internal" {}
}

worker "gpu-1" {
  address = "10.0.0.21"

  ssh {
    jump = "edge"
  }

  model "a" { backend = "http://127.0.0.1:11434" }
}

worker "gpu-2" {
  address = "10.0.0.22"

  ssh {
    jump = "root@edge" # error: Invalid value
  }

  model "a" { backend = "http://127.0.0.1:11434" }
}

worker "gpu-3" {
  address = "10.0.0.23"

  ssh {
    jump = "local" # error: Invalid value
  }

  model "a" { backend = "http://127.0.0.1:11434" }
}

worker "gpu-4" {
  address = "10.0.0.24"

  ssh {
    jump = "bastion; reboot" # error: Invalid value
  }

  model "a" { backend = "http://127.0.0.1:11434" }
}

worker "gpu-5" {
  address = "10.0.0.25"

  ssh {
    jump      = 22        # error: Invalid value
    ProxyJump = "bastion" # error: Unsupported argument
  }

  model "a" { backend = "http://127.0.0.1:11434" }
}

worker "gpu-6" {
  address = "10.0.0.26"

  ssh {
    jump = "ops:hunter2@bastion" # error: Invalid value
  }

  model "a" { backend = "http://127.0.0.1:11434" }
}
