# recipes: YAML to Make rules, locks and stages
