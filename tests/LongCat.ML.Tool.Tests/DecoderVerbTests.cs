using System.Text.Json;
using System.Text.Json.Nodes;
using LongCat.ML.TestShared;

namespace LongCat.ML.ToolTests;

/// <summary>A Llama in a Hugging Face cache through the verbs: inspect, export, generate, score.</summary>
public sealed class DecoderVerbTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_Llama_is_inspected_exported_run_and_scored()
    {
        string cache = _folder["models--someone--tiny-llama"], onnx = _folder["onnx"];
        RandomDecoder.Write(Path.Combine(cache, "snapshots", "0123abcd"), new RandomDecoderOptions { Tokenizer = true, BFloat16 = true });
        Directory.CreateDirectory(Path.Combine(cache, "refs"));
        File.WriteAllText(Path.Combine(cache, "refs", "main"), "0123abcd");

        string inspected = Succeeds(ToolProcess.LongCat("inspect", cache));
        Assert.Contains("LlamaForCausalLM", inspected, StringComparison.Ordinal);
        Assert.Contains("4 query heads over 2 key and value heads of 12", inspected, StringComparison.Ordinal);
        Succeeds(ToolProcess.LongCat("export", cache, "--output", onnx));

        using JsonDocument generated = JsonDocument.Parse(Succeeds(ToolProcess.LongCat("generate", onnx, "--prompt", "hello", "--max-new-tokens", "5", "--ignore-eos", "--json")));
        long[] ids = [.. generated.RootElement.GetProperty("ids").EnumerateArray().Select(id => id.GetInt64())];
        Assert.Equal(Greedy(Path.Combine(cache, "snapshots", "0123abcd"), [.. "hello"u8.ToArray().Select(b => (long)(RandomCheckpoint.FirstByteToken + b))], 5), ids);

        File.WriteAllLines(_folder["in.jsonl"], ["""{"text": "first"}""", """{"text": "second one"}"""]);
        Succeeds(ToolProcess.LongCat("score", onnx, "--mode", "score", "--input", _folder["in.jsonl"], "--output", _folder["out.jsonl"]));
        Assert.All(File.ReadAllLines(_folder["out.jsonl"]), line => Assert.True((double)JsonNode.Parse(line)!["log_likelihood"]! < 0));
    }

    /// <summary>The tool's own choices by the reference: the largest logit, over and over.</summary>
    private static long[] Greedy(string checkpoint, List<long> prompt, int count)
    {
        using DecoderReference reference = new(checkpoint);
        List<long> ids = [.. prompt];
        for (int i = 0; i < count; i++)
        {
            float[] last = reference.Run([.. ids]).Logits[^272..];
            ids.Add(Array.IndexOf(last, last.Max()));
        }

        return [.. ids.Skip(prompt.Count)];
    }

    private static string Succeeds(ToolProcess run)
    {
        Assert.True(run.ExitCode == 0, run.Error);
        return run.Output;
    }
}
