namespace LongCat.ML.Checkpoints.Tests.Adapters;

/// <summary>PEFT's rules for target_modules and its companions, on paths written out by hand.</summary>
public sealed class AdapterTargetsTests
{
    /// <summary>The module paths of PEFT's own examples of what matches and what does not.</summary>
    private static readonly ModelModule[] Toy =
    [
        .. new[]
        {
            "model.embed_tokens", "model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj", "model.layers.0.mlp.up_proj",
            "model.layers.1.self_attn.q_proj", "model.layers.1.self_attn.v_proj", "model.layers.1.mlp.up_proj",
            "model.layers.1.mlp.experts.0.up_proj", "model.layers.1.mlp.experts.2.up_proj", "model.layers.2.block.blocks.1.my_q_proj", "lm_head",
        }.Select(path => new ModelModule(path, path == "lm_head" ? ModuleKind.Head : path.EndsWith("tokens", StringComparison.Ordinal) ? ModuleKind.Embedding : ModuleKind.Linear, 4, 4, false)),
        new ModelModule("model.norm", ModuleKind.Other, 1, 4, false),
    ];

    private static string[] Resolve(AdapterTargets targets, AdapterTargets? exclude = null, int[]? layers = null, string[]? pattern = null, string[]? saved = null) =>
        [.. targets.Resolve(Toy, exclude, layers, pattern, saved)];

    [Fact]
    public void A_name_is_a_path_or_its_end_after_a_point()
    {
        // my_q_proj ends in q_proj, but not after a point.
        Assert.Equal(["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"], Resolve(AdapterTargets.Names("q_proj")));
        Assert.Equal(["model.layers.1.self_attn.q_proj"], Resolve(AdapterTargets.Names("1.self_attn.q_proj")));
        Assert.Equal(["lm_head"], Resolve(AdapterTargets.Names("lm_head")));
        Assert.Equal(["model.embed_tokens", "lm_head"], Resolve(AdapterTargets.Names("lm_head", "embed_tokens")));

        // up_proj is everywhere where a part of that name stands at the end: in the experts too.
        Assert.Equal(
            ["model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj", "model.layers.1.mlp.experts.0.up_proj", "model.layers.1.mlp.experts.2.up_proj"],
            Resolve(AdapterTargets.Names("up_proj")));
    }

    [Fact]
    public void An_expression_must_match_the_whole_path()
    {
        Assert.Equal(["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"], Resolve(AdapterTargets.Regex(@".*\.q_proj")));
        Assert.Equal(["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj", "model.layers.2.block.blocks.1.my_q_proj"], Resolve(AdapterTargets.Regex(".*q_proj")));
        Assert.Equal(["model.layers.1.mlp.experts.2.up_proj"], Resolve(AdapterTargets.Regex(@"model\.layers\.1\.mlp\.experts\.2\.(up|down)_proj")));

        // Alternatives of lower precedence than the rest: the whole of either must match, as fullmatch has it.
        Assert.Equal(["model.layers.0.self_attn.v_proj", "lm_head"], Resolve(AdapterTargets.Regex(@"lm_head|model\.layers\.0.*v_proj")));
        Assert.Equal(["lm_head"], Resolve(AdapterTargets.Regex(@"(?P<part>lm)_head\Z")));
        Assert.Contains("matches no module of the model; it is compared with whole paths", Assert.Throws<AdapterException>(() => Resolve(AdapterTargets.Regex("q_proj"))).Message);
    }

    [Fact]
    public void All_linear_leaves_embedding_and_head_alone()
    {
        Assert.Equal(9, Resolve(AdapterTargets.AllLinear).Length);
        Assert.Equal(AdapterTargets.AllLinear, AdapterTargets.Regex("ALL-linear"));
        Assert.DoesNotContain("lm_head", Resolve(AdapterTargets.AllLinear));
        IReadOnlyList<string> flash = AdapterTargets.AllLinear.Resolve(RandomAdapter.Flash);
        Assert.Equal((2 * (5 + 3)) + (2 * 3), flash.Count);
        Assert.DoesNotContain(flash, p => p.Contains("router", StringComparison.Ordinal));
    }

    [Fact]
    public void Exclusions_and_saved_modules_win()
    {
        Assert.Equal(["model.layers.1.self_attn.q_proj"], Resolve(AdapterTargets.Names("q_proj"), AdapterTargets.Names("layers.0.self_attn.q_proj")));
        Assert.Equal(["model.layers.1.self_attn.q_proj"], Resolve(AdapterTargets.Names("q_proj"), AdapterTargets.Regex(@".*\.0\..*")));

        // A part between points anywhere in the path excludes what lies below it.
        Assert.Equal(["model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj"], Resolve(AdapterTargets.Names("up_proj"), saved: ["experts"]));
        Assert.Equal(["model.layers.0.self_attn.q_proj"], Resolve(AdapterTargets.Names("q_proj"), saved: [@"layers\.1", "head"]));
        AdapterException e = Assert.Throws<AdapterException>(() => Resolve(AdapterTargets.Names("lm_head"), saved: ["lm_head"]));
        Assert.Contains("matches 1 modules, lm_head for instance, of which 1 are excluded or saved whole", e.Message);
    }

    [Fact]
    public void Layers_are_counted_by_the_first_number_of_a_path_and_only_for_ends_of_paths()
    {
        Assert.Equal(["model.layers.1.self_attn.q_proj"], Resolve(AdapterTargets.Names("q_proj"), layers: [1]));

        // The expert's number is not the layer's.
        Assert.Equal(
            ["model.layers.1.mlp.up_proj", "model.layers.1.mlp.experts.0.up_proj", "model.layers.1.mlp.experts.2.up_proj"], Resolve(AdapterTargets.Names("up_proj"), layers: [1]));
        Assert.Equal(["model.layers.2.block.blocks.1.my_q_proj"], Resolve(AdapterTargets.Names("my_q_proj"), layers: [2]));
        Assert.Throws<AdapterException>(() => Resolve(AdapterTargets.Names("my_q_proj"), layers: [1]));
        Assert.Equal(["model.layers.2.block.blocks.1.my_q_proj"], Resolve(AdapterTargets.Names("my_q_proj"), layers: [1], pattern: ["blocks"]));
        Assert.Equal(["model.layers.0.self_attn.q_proj"], Resolve(AdapterTargets.Names("q_proj"), layers: [0], pattern: ["h", "layers"]));

        // A whole path in the list is taken whatever its layer, and no layers means all.
        Assert.Equal(["model.layers.0.self_attn.q_proj"], Resolve(AdapterTargets.Names("model.layers.0.self_attn.q_proj"), layers: [1]));
        Assert.Equal(2, Resolve(AdapterTargets.Names("q_proj"), layers: []).Length);
        Assert.Throws<ArgumentException>(() => Resolve(AdapterTargets.Regex(".*q_proj"), layers: [1]));
    }

    [Fact]
    public void What_matches_nothing_is_refused_with_near_names()
    {
        AdapterException e = Assert.Throws<AdapterException>(() => Resolve(AdapterTargets.Names("q_proj", "vproj")));
        Assert.Equal("vproj", e.Module);
        Assert.Equal(2, e.Message.Split("vproj").Length);
        Assert.Contains("near names: model.layers.0.self_attn.v_proj", e.Message);
        Assert.Contains("model.norm: is no projection and no embedding", Assert.Throws<AdapterException>(() => Resolve(AdapterTargets.Names("norm"))).Message);
        Assert.Contains("is no regular expression that can be used here", Assert.Throws<AdapterException>(() => Resolve(AdapterTargets.Regex("(q_proj"))).Message);
        Assert.Contains("(?P=name) is not supported", Assert.Throws<AdapterException>(() => Resolve(AdapterTargets.Regex("(?P<a>q)(?P=a)"))).Message);

        // Names of another family: what this one has instead is listed.
        Assert.Contains("near names: model.layers.0.self_attn.0.o_proj, model.layers.0.self_attn.0.q_a_proj, model.layers.0.self_attn.0.q_b_proj", Assert.Throws<AdapterException>(() => AdapterTargets.Names("q_proj").Resolve(RandomAdapter.Flash)).Message);
        AdapterException other = Assert.Throws<AdapterException>(() => AdapterTargets.Names("q_proj").Resolve(RandomAdapter.Flash));
        Assert.Contains("q_a_proj", other.Message);
        Assert.Contains("kv_b_proj", Assert.Throws<AdapterException>(() => AdapterTargets.Names("zzzzzzzzzzzzzz").Resolve(RandomAdapter.Flash)).Message);
    }

    [Fact]
    public void Near_names_are_the_three_nearest_the_best_first()
    {
        AdapterException e = Assert.Throws<AdapterException>(() => AdapterTargets.Names("q_a_prj").Resolve(RandomAdapter.Flash));
        Assert.Contains("near names: model.layers.0.self_attn.0.q_a_proj, model.layers.0.self_attn.0.q_b_proj, ", e.Message);
        Assert.Equal(3, e.Message[e.Message.IndexOf("near names: ", StringComparison.Ordinal)..].Split(", ").Length);
        Assert.StartsWith("the adapter's targets: q_a_prj: matches no module", e.Message);

        // Of a whole path the whole counts, numbers aside.
        e = Assert.Throws<AdapterException>(() => AdapterTargets.Names("model.layers.0.self_attn.0.kv_b_prj").Resolve(RandomAdapter.Flash));
        Assert.Contains("near names: model.layers.0.self_attn.0.kv_b_proj, ", e.Message);
        Assert.Equal(3, e.Message[e.Message.IndexOf("near names: ", StringComparison.Ordinal)..].Split(", ").Length);
    }

    [Fact]
    public void A_pattern_without_end_is_stopped()
    {
        ModelModule[] modules = [new("model." + new string('a', 60) + "!", ModuleKind.Linear, 1, 1, false)];
        Assert.Contains("takes more than 2 s", Assert.Throws<AdapterException>(() => AdapterTargets.Regex(@"model\.(a+)+b").Resolve(modules)).Message);
    }

    [Fact]
    public void Presets_name_the_projections_of_each_family()
    {
        LongcatFlashConfig flash = RandomAdapter.Flash with { NumLayers = 2, MtpLayers = 1 };
        Assert.Equal(2 * 2 * 5, AdapterTargets.Preset("attention").Resolve(flash).Count);
        Assert.Equal(2 * 2 * 8, AdapterTargets.Preset("attention-dense").Resolve(flash).Count);
        Assert.Equal(2 * 2 * 3, AdapterTargets.Preset("experts").Resolve(flash).Count);
        Assert.Equal(
            ["model.layers.1.self_attn.0.q_a_proj", "model.layers.1.self_attn.0.q_b_proj", "model.layers.1.self_attn.0.kv_a_proj_with_mqa", "model.layers.1.self_attn.0.kv_b_proj", "model.layers.1.self_attn.0.o_proj"],
            AdapterTargets.Preset("attention").Resolve(flash, layers: [1]).Take(5));
        DecoderConfig llama = Decoder("""{"architectures": ["LlamaForCausalLM"]""");
        Assert.Equal(["q_proj", "k_proj", "v_proj", "o_proj"], AdapterTargets.Preset("attention").Resolve(llama).Select(p => p[(p.LastIndexOf('.') + 1)..]));
        Assert.Equal(7, AdapterTargets.Preset("attention-dense").Resolve(llama).Count);
        Assert.Equal(AdapterTargets.AllLinear.Resolve(llama), AdapterTargets.Preset("attention-dense").Resolve(llama));
        Assert.Throws<AdapterException>(() => AdapterTargets.Preset("experts").Resolve(llama));
        DecoderConfig mixtral = Decoder("""{"architectures": ["MixtralForCausalLM"], "num_local_experts": 3, "num_experts_per_tok": 2""");
        Assert.Equal(9, AdapterTargets.Preset("experts").Resolve(mixtral).Count);
        Assert.Equal(4 + 9, AdapterTargets.AllLinear.Resolve(mixtral).Count);
        Assert.Contains("attention, attention-dense, experts, all-linear", Assert.Throws<ArgumentException>(() => AdapterTargets.Preset("dense")).Message);
    }

    [Theory]
    [InlineData("attention-dense", "attention-dense", null)]
    [InlineData("all-linear", "all-linear", null)]
    [InlineData("q_proj, v_proj", null, null)]
    [InlineData(@".*\.q_proj", null, @".*\.q_proj")]
    [InlineData("self_attn.0.o_proj", null, null)]
    public void A_users_text_is_a_preset_names_or_an_expression(string text, string? preset, string? pattern)
    {
        AdapterTargets targets = AdapterTargets.Parse(text);
        Assert.Equal((preset, pattern), (targets.PresetName, targets.Pattern));
        Assert.Equal(preset is null && pattern is null ? text.Split(',', StringSplitOptions.TrimEntries) : null, targets.List);
    }

    [Theory]
    [InlineData("down_proj", "model.layers.0.mlp.down_proj", true)]
    [InlineData("down_proj", "model.layers.0.mlp.xdown_proj", false)]
    [InlineData(@"layers\.[02]\..*", "model.layers.2.mlp.up_proj", true)]
    [InlineData("layers.1", "model.layers.1.mlp.up_proj", false)]
    [InlineData("^model.layers.1.mlp.up_proj", "model.layers.1.mlp.up_proj", true)]
    [InlineData("up|down", "model.layers.1.mlp.down", true)]
    public void Keys_of_patterns_match_the_end_of_a_path(string key, string path, bool matches)
    {
        PeftConfig config = new() { Rank = 8, Alpha = 16, RankPattern = new Dictionary<string, int> { [key] = 3 }, AlphaPattern = new Dictionary<string, double> { [key] = 6 } };
        Assert.Equal(matches ? (3, 6.0, 2.0) : (8, 16.0, 2.0), (config.RankOf(path), config.AlphaOf(path), config.ScaleOf(path)));
        Assert.Equal(matches ? 6 / Math.Sqrt(3) : 16 / Math.Sqrt(8), (config with { UseRsLora = true }).ScaleOf(path), 1e-12);
    }

    [Fact]
    public void The_first_key_of_a_pattern_counts()
    {
        PeftConfig config = PeftConfig.Parse("""{"peft_type": "LORA", "target_modules": ["x"], "rank_pattern": {"mlp.x": 2, "x": 3, ".*": 4}}""");
        Assert.Equal((2, 3, 4), (config.RankOf("layers.0.mlp.x"), config.RankOf("layers.0.x"), config.RankOf("y")));
    }

    private static DecoderConfig Decoder(string start) => (DecoderConfig)ModelConfig.Parse(start + """
        , "vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 8,
         "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0}
        """);
}
