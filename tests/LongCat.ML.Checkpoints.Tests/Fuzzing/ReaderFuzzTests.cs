using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using LongCat.ML.Checkpoints.Tests.Tokenization;
using LongCat.ML.TestShared;
using LongCat.ML.TestShared.Fuzzing;
using Xunit.Abstractions;

namespace LongCat.ML.Checkpoints.Tests.Fuzzing;

/// <summary>
/// Every reader of a file that comes from elsewhere, over mutated files: 10,000 cases with fixed seeds, or as many as fit a time (<c>./run fuzz SECONDS</c>).
/// Only <see cref="CheckpointException"/> and <see cref="ChatTemplateException"/> may come out, within bounded time and memory.
/// </summary>
public sealed class ReaderFuzzTests(ITestOutputHelper output) : IDisposable
{
    private static readonly string[] s_configs =
    [
        CheckpointFolder.FlashConfig,
        """
        {"architectures": ["LongcatFlashNgramForCausalLM"], "vocab_size": 64, "hidden_size": 16, "num_layers": 2, "num_attention_heads": 2, "q_lora_rank": 8, "kv_lora_rank": 6,
         "qk_nope_head_dim": 4, "qk_rope_head_dim": 4, "v_head_dim": 4, "ffn_hidden_size": 12, "expert_ffn_hidden_size": 8, "n_routed_experts": 2, "zero_expert_num": 1, "moe_topk": 2,
         "routed_scaling_factor": 1.5, "rope_theta": 10000.0, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": [2, 3], "ngram_vocab_size_ratio": 3, "emb_neighbor_num": 3,
         "emb_split_num": 2, "num_nextn_predict_layers": 1, "rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 16, "mscale": 1, "mscale_all_dim": 1},
         "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}}
        """,
        """{"architectures": ["LlamaForCausalLM"], "hidden_size": 32, "intermediate_size": 48, "max_position_embeddings": 64, "num_attention_heads": 2, "num_hidden_layers": 4, "vocab_size": 32, "streaming_sparse_attention": {"block_size": 4, "sink_blocks": 1, "local_blocks": 2, "attention_layers": [0, 3]}}""",
        .. DecoderConfigTests.Published.Select(row => (string)row[1]),
    ];

    private static readonly string[] s_headers =
    [
        """{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},"__metadata__":{"format":"pt"}}""",
        """{"e":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"z":{"dtype":"U8","shape":[0,7],"data_offsets":[8,8]},"w":{"dtype":"F8_E4M3","shape":[24],"data_offsets":[8,32]}}""",
    ];

    private static readonly Lazy<string[]> s_tokenizers = new(() =>
    [
        SampleTokenizer.Json("a b", "ab c", "Ġ a").With("added_tokens", """[{"id":300,"content":"<t>","special":true},{"id":301,"content":"x y","lstrip":true,"rstrip":true,"single_word":true}]""")
            .With("normalizer", """{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Lowercase"},{"type":"Replace","pattern":{"Regex":" +"},"content":" "}]}""").ToJsonString(),
        SampleTokenizer.Json("a b").WithSplit(SampleTokenizer.Qwen2Pattern).ToJsonString(),
        CharacterTokenizer.Json().ToJsonString(),
        CharacterTokenizer.Json(byteFallback: false).With("normalizer", "null").With("pre_tokenizer", """{"type":"Sequence","pretokenizers":[{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true},{"type":"Digits","individual_digits":true},{"type":"Punctuation"}]}""")
            .With("decoder", """{"type":"Metaspace","replacement":"▁","add_prefix_space":true}""").ToJsonString(),
    ]);

    private readonly CheckpointFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Safetensors_headers() => Run(2700, 101, MakeSafetensors, input =>
    {
        // What opening a file does, without the file.
        if (input.Length >= 8)
        {
            int length = SafetensorsHeader.CheckedLength("x", BinaryPrimitives.ReadUInt64LittleEndian(input), input.Length);
            SafetensorsHeader.Parse("x", input.AsSpan(8, length), input.Length - 8 - length);
        }
    });

    [Fact]
    public void Safetensors_files() => Run(300, 107, MakeSafetensors, input =>
    {
        string path = _folder.Write("x.safetensors", input);
        using SafetensorsFile file = SafetensorsFile.Open(path);
        foreach ((string name, TensorEntry entry) in file.Tensors)
        {
            // All of the bytes that an entry promises must be there.
            byte sum = 0;
            foreach (byte value in file.GetBytes(name))
            {
                sum ^= value;
            }

            Assert.True(entry.ByteLength <= input.Length, $"{sum}");
        }
    });

    [Fact]
    public void Configs() => Run(3200, 102, random => JsonMutator.Mutate(s_configs[random.Next(s_configs.Length)], random), input =>
    {
        ModelConfig config = ModelConfig.Parse(Encoding.UTF8.GetString(input));
        int tensors = 0;
        foreach (ExpectedTensor tensor in config.ExpectedTensors(withMtp: true))
        {
            Assert.NotEmpty(tensor.Name);

            // A config may ask for billions of tensors; they are listed one by one.
            if (++tensors == 2000)
            {
                break;
            }
        }
    });

    /// <summary>Whatever the editor accepts it changes in the key alone, and gives it back byte for byte.</summary>
    [Fact]
    public void Edited_configs() => Run(1500, 113, random => JsonMutator.Mutate(s_configs[random.Next(s_configs.Length)], random), input =>
    {
        ConfigEditor editor = ConfigEditor.Parse(Encoding.UTF8.GetString(input));
        string before = editor.ToString();
        editor.Set("a new key", new JsonObject { ["list"] = new JsonArray(1, 2.5, null) });
        Assert.NotEqual(before, editor.ToString());
        ConfigEditor again = ConfigEditor.Parse(editor.ToString());
        Assert.True(again.Remove("a new key"));
        Assert.Equal(before.TrimEnd(), again.ToString().TrimEnd());
    });

    [Fact]
    public void Tokenizers() => Run(400, 103, random => JsonMutator.Mutate(s_tokenizers.Value[random.Next(4)], random), input =>
    {
        HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(_folder.Write("tokenizer.json", input));
        foreach (string text in new[] { "", " abc  <t> x y é你好😀\uD800 12.3", "▁▁a", new string('a', 200) })
        {
            IReadOnlyList<int> ids = tokenizer.Encode(text);
            Assert.Equal(ids, tokenizer.EncodeToTokens(text, out _).Select(token => token.Id));
            StreamingDecoder decoder = tokenizer.CreateStreamingDecoder();
            Assert.Equal(tokenizer.Decode(ids), string.Concat(ids.Select(decoder.Append)) + decoder.Flush());
        }
    });

    [Fact]
    public void Chat_templates()
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "ChatTemplates", "cases.json")));
        string[] templates = [.. document.RootElement.GetProperty("cases").EnumerateArray().Select(entry => entry.GetProperty("template").GetString()!)];
        TemplateMutator mutator = new(templates);
        ChatTemplateOptions options = new() { Variables = document.RootElement.GetProperty("variables").EnumerateObject().ToDictionary(member => member.Name, member => (object?)member.Value) };
        Run(2900, 104, mutator.Mutate, input => ChatTemplate.Parse(Encoding.UTF8.GetString(input), "t").Render([], options));
    }

    [Fact]
    public void Manifests()
    {
        string text = WriteManifest(_folder.Path);
        Run(300, 105, random => WithContentHash(JsonMutator.Mutate(text, random), random), input =>
        {
            _folder.Write(ModelManifest.FileName, input);
            ModelManifest manifest = ModelManifest.Read(_folder.Path);
            manifest.VerifyFiles(_folder.Path);
        });
    }

    [Fact]
    public void Checkpoint_folders()
    {
        const string Index = """{"metadata":{"total_size":64},"weight_map":{"a":"model-1.safetensors","b":"model-1.safetensors","e":"model-2.safetensors","z":"model-2.safetensors","w":"model-2.safetensors"}}""";
        const string TokenizerConfig = """{"bos_token":"<s>","eos_token":{"content":"</s>"},"chat_template":[{"name":"default","template":"{{ bos_token }}{{ messages }}"},{"name":"tool_use","template":"{{ tools }}"}]}""";
        _folder.Write("model-1.safetensors", CheckpointFolder.Safetensors(s_headers[0], new byte[32]));
        _folder.Write("model-2.safetensors", CheckpointFolder.Safetensors(s_headers[1], new byte[32]));
        _folder.Write("config.json", s_configs[0]);
        _folder.Write("model.safetensors.index.json", Index);
        _folder.Write("tokenizer_config.json", TokenizerConfig);
        Run(200, 106, random => random.Next(3) switch
        {
            0 => [0, .. JsonMutator.Mutate(Index, random)],
            1 => [1, .. JsonMutator.Mutate(TokenizerConfig, random)],
            _ => [2, .. JsonMutator.Mutate(s_configs[0], random)],
        }, input =>
        {
            (string file, string whole) = input[0] switch { 0 => ("model.safetensors.index.json", Index), 1 => ("tokenizer_config.json", TokenizerConfig), _ => ("config.json", s_configs[0]) };
            _folder.Write(file, input[1..]);
            try
            {
                ChatTemplate.Load(_folder.Path)?.Render([new ChatMessage("user", "x")]);
                using Checkpoint checkpoint = Checkpoint.Open(_folder.Path);

                // The two shards hold none of the config's tensors, so this lists them all.
                Assert.Throws<CheckpointException>(() => checkpoint.Validate());
            }
            finally
            {
                _folder.Write(file, whole);
            }
        });
    }

    /// <summary>A manifest and the files it lists.</summary>
    internal static string WriteManifest(string folder)
    {
        File.WriteAllText(Path.Combine(folder, "model.onnx"), "abc");
        File.WriteAllText(Path.Combine(folder, "draft.onnx"), "abc");
        ManifestFile file = new(3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        new ModelManifest
        {
            Architecture = "LongcatFlashForCausalLM",
            Precision = WeightPrecision.BF16,
            VocabSize = 300,
            HiddenSize = 16,
            MaxPositions = 64,
            BosTokenId = 1,
            EosTokenIds = [2, 3],
            NgramNeighbors = 4,
            Caches = [new CacheLayout(10), new CacheLayout(10)],
            DraftCaches = [new CacheLayout(10)],
            CacheType = CacheType.BFloat16,
            Streaming = new StreamingAttentionConfig { BlockSize = 8, AttentionLayers = [1] },
            Files = new Dictionary<string, ManifestFile> { ["model.onnx"] = file, ["draft.onnx"] = file },
        }.Write(folder);
        return File.ReadAllText(Path.Combine(folder, ModelManifest.FileName));
    }

    /// <summary>Half of the manifests get the hash that fits their files again, so that more than the hash is tested.</summary>
    private static byte[] WithContentHash(byte[] manifest, Random random)
    {
        if (random.Next(2) == 0)
        {
            return manifest;
        }

        try
        {
            JsonObject json = JsonNode.Parse(manifest)!.AsObject();
            IEnumerable<string> lines = json["files"]!.AsObject().OrderBy(entry => entry.Key, StringComparer.Ordinal).Select(entry => $"{entry.Key} {entry.Value!["sha256"]!.GetValue<string>()}\n");
            json["content_hash"] = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(Encoding.UTF8.GetBytes(string.Concat(lines))));
            return Encoding.UTF8.GetBytes(json.ToJsonString());
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or NullReferenceException or ArgumentException)
        {
            return manifest;
        }
    }

    private static byte[] MakeSafetensors(Random random)
    {
        byte[] header = random.Next(6) == 0 ? Encoding.UTF8.GetBytes(s_headers[random.Next(2)]) : JsonMutator.Mutate(s_headers[random.Next(2)], random, deepest: 20);
        byte[] data = new byte[random.Next(8) == 0 ? random.Next(64) : 32];
        byte[] file = CheckpointFolder.Safetensors(Encoding.Latin1.GetString(header), data);
        if (random.Next(8) == 0)
        {
            ulong[] lengths = [0, 1, 2, 7, (ulong)file.Length, (ulong)file.Length - 8, 100_000_000, 100_000_001, int.MaxValue, long.MaxValue, ulong.MaxValue, (ulong)random.Next(300)];
            BinaryPrimitives.WriteUInt64LittleEndian(file, lengths[random.Next(lengths.Length)]);
        }

        return random.Next(6) == 0 ? ByteMutator.Mutate(file, random) : file;
    }

    private void Run(int cases, int seed, Func<Random, byte[]> make, Action<byte[]> read) => output.WriteLine(Fuzzer.Run(cases, seed, make, input =>
    {
        try
        {
            read(input);
            return true;
        }
        catch (Exception error) when (error is CheckpointException or ChatTemplateException)
        {
            Assert.InRange(error.Message.Length, 10, 20_000);
            return false;
        }
    }));
}
