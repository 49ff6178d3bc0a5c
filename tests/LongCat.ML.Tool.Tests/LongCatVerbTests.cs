using System.Text.Json;
using System.Text.Json.Nodes;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.ToolTests;

/// <summary>The verbs of longcat over a tiny random model: what they write, what they refuse, and with which exit code.</summary>
public sealed class LongCatVerbTests(ExportedFolder folder) : IClassFixture<ExportedFolder>
{
    [Fact]
    public void Export_writes_a_whole_folder()
    {
        Assert.True(folder.Export.ExitCode == 0, folder.Export.Error);
        Assert.All(["model.onnx", "model.onnx.data", "longcat.json", "config.json", "tokenizer.json"], name => Assert.True(File.Exists(Path.Combine(folder.Onnx, name)), name));
        Assert.Single(Directory.EnumerateDirectories(Path.GetDirectoryName(folder.Onnx)!, "*onnx*"));
    }

    [Fact]
    public void Export_refuses_an_existing_folder_and_keeps_it()
    {
        DateTime before = File.GetLastWriteTimeUtc(Path.Combine(folder.Onnx, "model.onnx"));
        ToolProcess again = ToolProcess.LongCat("export", folder.Checkpoint, "--output", folder.Onnx);
        Assert.Equal(1, again.ExitCode);
        Assert.StartsWith("error: ", again.Error, StringComparison.Ordinal);
        Assert.Equal(before, File.GetLastWriteTimeUtc(Path.Combine(folder.Onnx, "model.onnx")));
    }

    [Fact]
    public void Export_of_a_damaged_checkpoint_leaves_nothing_behind()
    {
        string damaged = folder.File("damaged");
        Directory.CreateDirectory(damaged);
        File.Copy(Path.Combine(folder.Checkpoint, "config.json"), Path.Combine(damaged, "config.json"), overwrite: true);
        byte[] weights = File.ReadAllBytes(Path.Combine(folder.Checkpoint, "model.safetensors"));
        File.WriteAllBytes(Path.Combine(damaged, "model.safetensors"), weights[..(weights.Length / 2)]);
        string target = folder.File("damaged-onnx");
        ToolProcess run = ToolProcess.LongCat("export", damaged, "--output", target);
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("model.safetensors", run.Error, StringComparison.Ordinal);
        Assert.Single(run.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.False(Directory.Exists(target));
    }

    [Fact]
    public void Export_of_streaming_attentions_and_bfloat16_caches_is_shown_by_inspect()
    {
        string streaming = folder.File("streaming"), target = folder.File("streaming-exported");
        Directory.CreateDirectory(streaming);
        File.Copy(Path.Combine(folder.Checkpoint, "model.safetensors"), Path.Combine(streaming, "model.safetensors"), overwrite: true);
        ConfigEditor editor = ConfigEditor.Load(folder.Checkpoint);
        editor.SetStreaming(new StreamingAttentionConfig { BlockSize = 64, AttentionLayers = [1] });
        editor.Save(streaming);
        ToolProcess export = ToolProcess.LongCat("export", streaming, "--output", target, "--cache", "bf16");
        Assert.True(export.ExitCode == 0, export.Error);
        ToolProcess inspect = ToolProcess.LongCat("inspect", target);
        Assert.Contains(" in bfloat16, ", inspect.Output, StringComparison.Ordinal);
        Assert.Contains("streaming   1 of the caches: 1 first and 7 latest blocks of 64, at most 512 tokens", inspect.Output, StringComparison.Ordinal);
        Assert.Contains("streaming   1 of ", ToolProcess.LongCat("inspect", streaming).Output, StringComparison.Ordinal);
        Assert.Contains("'f16' not recognized", ToolProcess.LongCat("export", streaming, "--output", target, "--cache", "f16").Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Inspect_shows_what_the_checkpoint_holds()
    {
        ToolProcess run = ToolProcess.LongCat("inspect", folder.Checkpoint, "--check-finite");
        Assert.True(run.ExitCode == 0, run.Error);
        Assert.Contains("LongcatFlashNgramForCausalLM", run.Output, StringComparison.Ordinal);
        Assert.Contains("every value is finite", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Generate_prints_only_JSON_when_asked_to()
    {
        ToolProcess run = ToolProcess.LongCat("generate", folder.Onnx, "--prompt", "hello", "--max-new-tokens", "5", "--ignore-eos", "--json");
        Assert.True(run.ExitCode == 0, run.Error);
        using JsonDocument document = JsonDocument.Parse(run.Output);
        JsonElement root = document.RootElement;
        Assert.Equal(5, root.GetProperty("ids").GetArrayLength());
        Assert.Equal("length", root.GetProperty("finish_reason").GetString());
        Assert.True(root.GetProperty("timings").GetProperty("elapsed_seconds").GetDouble() > 0);
        Assert.Equal(JsonValueKind.String, root.GetProperty("text").ValueKind);
    }

    [Fact]
    public void Speculation_changes_no_token_and_is_counted()
    {
        string[] prompt = ["generate", folder.Onnx, "--prompt", "abcabcabc", "--max-new-tokens", "20", "--temperature", "0.8", "--seed", "7", "--ignore-eos", "--json"];
        using JsonDocument plain = JsonDocument.Parse(ToolProcess.LongCat(prompt).Output);
        Assert.False(plain.RootElement.TryGetProperty("speculation", out _));
        foreach (string proposer in new[] { "lookup", folder.Onnx })
        {
            ToolProcess run = ToolProcess.LongCat([.. prompt, "--speculate", proposer]);
            Assert.True(run.ExitCode == 0, run.Error);
            using JsonDocument document = JsonDocument.Parse(run.Output);
            Assert.Equal(plain.RootElement.GetProperty("ids").ToString(), document.RootElement.GetProperty("ids").ToString());
            JsonElement statistics = document.RootElement.GetProperty("speculation");
            long rounds = statistics.GetProperty("rounds").GetInt64();
            Assert.True(proposer == "lookup" || rounds > 0);
            Assert.True(statistics.GetProperty("draft_tokens_proposed").GetInt64() >= rounds);
            Assert.True(statistics.GetProperty("is_lossless").GetBoolean());
        }

        Assert.Contains("holds no draft.onnx", ToolProcess.LongCat([.. prompt, "--speculate", "mtp"]).Error, StringComparison.Ordinal);
        ToolProcess missing = ToolProcess.LongCat([.. prompt, "--speculate", folder.Onnx + "-nowhere"]);
        Assert.True(missing.ExitCode != 0);
        Assert.Contains("does not exist", missing.Error, StringComparison.Ordinal);
        ToolProcess empty = ToolProcess.LongCat([.. prompt, "--speculate", ""]);
        Assert.Contains("--speculate is empty", empty.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Streamed_text_is_the_text_of_the_JSON()
    {
        string[] prompt = ["--prompt", "abc", "--max-new-tokens", "12", "--temperature", "0.8", "--seed", "7", "--ignore-eos"];
        ToolProcess streamed = ToolProcess.LongCat(["generate", folder.Onnx, .. prompt]);
        ToolProcess json = ToolProcess.LongCat(["generate", folder.Onnx, .. prompt, "--json"]);
        Assert.True(streamed.ExitCode == 0, streamed.Error);
        using JsonDocument document = JsonDocument.Parse(json.Output);
        Assert.Equal(document.RootElement.GetProperty("text").GetString() + Environment.NewLine, streamed.Output);
    }

    [Fact]
    public void Weights_in_huge_pages_give_the_same_text()
    {
        string[] arguments = ["generate", folder.Onnx, "--prompt", "abc", "--max-new-tokens", "8", "--ignore-eos"];
        ToolProcess mapped = ToolProcess.LongCat(arguments);
        ToolProcess huge = ToolProcess.LongCat([.. arguments, "--weight-pages", "huge"]);
        Assert.True(huge.ExitCode == 0, huge.Error);
        Assert.Equal(mapped.Output, huge.Output);

        // Where the system has no such pages, one line says so.
        Assert.True(huge.Error.Length == 0 || huge.Error.StartsWith("note: weights stay in the file mapping: ", StringComparison.Ordinal), huge.Error);
        ToolProcess wrong = ToolProcess.LongCat([.. arguments, "--weight-pages", "large"]);
        Assert.Equal(2, wrong.ExitCode);
        Assert.Contains("--weight-pages", wrong.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Logits_of_modules_and_of_the_exported_graph_agree()
    {
        string exported = folder.File("onnx-logits.safetensors");
        string modules = folder.File("modules-logits.safetensors");
        ToolProcess first = ToolProcess.LongCat("logits", folder.Onnx, "--ids", "1,20,21,22,2,30", "--output", exported);
        ToolProcess second = ToolProcess.Train("logits", folder.Checkpoint, "--ids", "1,20,21,22,2,30", "--output", modules);
        Assert.True(first.ExitCode == 0, first.Error);
        Assert.True(second.ExitCode == 0, second.Error);
        float[] left = Logits(exported, out IReadOnlyList<long> leftShape), right = Logits(modules, out IReadOnlyList<long> rightShape);
        Assert.Equal(leftShape, rightShape);
        Assert.Equal(6, leftShape[1]);
        // float32 sums in another order: a few 1e-6 on logits of this size; ten times that is the limit.
        Assert.True(left.Zip(right, (a, b) => Math.Abs(a - b)).Max() < 5e-5f);
    }

    [Theory]
    [InlineData("generate", "{onnx}")]
    [InlineData("generate", "{onnx}", "--prompt", "a", "--ids", "1")]
    [InlineData("logits", "{onnx}", "--ids", "1,x", "--output", "never.safetensors")]
    [InlineData("export", "{checkpoint}")]
    [InlineData("export", "{checkpoint}", "--output", "never", "--precision", "int3")]
    [InlineData("score", "{onnx}", "--input", "never", "--output", "never", "--mode", "classify")]
    [InlineData("score", "{onnx}", "--input", "never", "--output", "never", "--mode", "classify", "--label", "a", "--label", "a")]
    [InlineData("score", "{onnx}", "--input", "never", "--output", "")]
    [InlineData("score", "{onnx}", "--input", "never", "--output", "never", "--rows-in-flight", "0")]
    [InlineData("generate", "{onnx}", "--prompt", "a", "--max-new-tokens", "-1")]
    [InlineData("generate", "{onnx}", "--prompt", "a", "--temperature", "-1", "--max-new-tokens", "x")]
    [InlineData("generate", "{onnx}", "--prompt", "a", "--temperature", "nan")]
    [InlineData("generate", "{onnx}", "--prompt", "a", "--top-p", "0")]
    [InlineData("generate", "{onnx}", "--prompt", "a", "--top-k", "-2")]
    [InlineData("generate", "{onnx}", "--prompt", "a", "--stop", "")]
    [InlineData("generate", "{onnx}", "--prompt", "a", "--threads", "-1")]
    [InlineData("inspect", "")]
    [InlineData("nonsense")]
    [InlineData]
    public void Wrong_usage_exits_with_2_and_says_why(params string[] arguments)
    {
        ToolProcess run = ToolProcess.LongCat([.. arguments.Select(a => a.Replace("{onnx}", folder.Onnx, StringComparison.Ordinal).Replace("{checkpoint}", folder.Checkpoint, StringComparison.Ordinal))]);
        Assert.Equal(2, run.ExitCode);
        Assert.StartsWith("error: ", run.Error, StringComparison.Ordinal);
        Assert.Single(run.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.DoesNotContain("System.", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Inspect_of_a_checkpoint_that_does_not_fit_says_so_in_a_line_of_its_own()
    {
        string odd = folder.File("odd-config");
        Directory.CreateDirectory(odd);
        File.Copy(Path.Combine(folder.Checkpoint, "model.safetensors"), Path.Combine(odd, "model.safetensors"), overwrite: true);
        JsonObject config = JsonNode.Parse(File.ReadAllText(Path.Combine(folder.Checkpoint, "config.json")))!.AsObject();
        config["n_routed_experts"] = (int)config["n_routed_experts"]! + 1;
        File.WriteAllText(Path.Combine(odd, "config.json"), config.ToJsonString());
        ToolProcess run = ToolProcess.LongCat("inspect", odd);
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("missing", run.Output, StringComparison.Ordinal);
        Assert.StartsWith("error: ", run.Error, StringComparison.Ordinal);
        Assert.Single(run.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Theory]
    [InlineData("logits", "{onnx}", "--ids", "999999", "--output", "never.safetensors")]
    [InlineData("generate", "no-such-folder", "--prompt", "a")]
    [InlineData("inspect", "no-such-folder")]
    [InlineData("score", "{onnx}", "--input", "no-such-file.jsonl", "--output", "never.jsonl")]
    public void Failing_input_exits_with_1_in_one_line(params string[] arguments)
    {
        string[] filled = [.. arguments.Select(a => a.Replace("{onnx}", folder.Onnx, StringComparison.Ordinal))];
        ToolProcess run = ToolProcess.LongCat(filled);
        Assert.Equal(1, run.ExitCode);
        Assert.Single(run.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.StartsWith("error: ", run.Error, StringComparison.Ordinal);
        Assert.False(File.Exists("never.safetensors"));
        ToolProcess verbose = ToolProcess.LongCat([.. filled, "--verbose"]);
        Assert.Contains("   at ", verbose.Error, StringComparison.Ordinal);
    }

    internal static float[] Logits(string path, out IReadOnlyList<long> shape)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        shape = file.Tensors["logits"].Shape;
        return file.ReadFloat32("logits");
    }
}
