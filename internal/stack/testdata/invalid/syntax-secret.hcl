stack "home" {}

api_key "laptop" {
  value = "hunter2hunter2hunter2hunter2hunter2 # error: Invalid multi-line string
}
