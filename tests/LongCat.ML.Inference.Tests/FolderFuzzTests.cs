using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using LongCat.ML.TestShared.Fuzzing;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>
/// Opening an exported folder in which one small file was changed: the manifest (with hashes and lengths that fit again, so that the change goes through) or the
/// tokenizer. The graph itself is left whole: it is ONNX Runtime that reads it. Nothing but <see cref="CheckpointException"/> and <see cref="InferenceException"/>
/// may come out, and what opens must answer a request or refuse it in the same way.
/// </summary>
public sealed class FolderFuzzTests(ExportedModel model, ITestOutputHelper output) : IClassFixture<ExportedModel>
{
    private static readonly EngineOptions s_options = new() { MaxSequences = 2, MaxStepTokens = 16, MemoryBudgetBytes = 1 << 20, Threads = 1 };

    [Fact]
    public void Changed_folders_open_or_are_refused()
    {
        using TemporaryFolder folder = new();
        foreach (string file in Directory.GetFiles(model.Folder))
        {
            File.Copy(file, folder[Path.GetFileName(file)]);
        }

        string manifest = File.ReadAllText(folder["longcat.json"]), tokenizer = File.ReadAllText(folder["tokenizer.json"]);
        output.WriteLine(Fuzzer.Run(150, 201, random => random.Next(3) == 0
            ? [1, .. JsonMutator.Mutate(tokenizer, random)]
            : [0, .. JsonMutator.Mutate(manifest, random)], input =>
        {
            byte[] content = input[1..];
            File.WriteAllBytes(folder["tokenizer.json"], input[0] == 1 ? content : Encoding.UTF8.GetBytes(tokenizer));
            File.WriteAllBytes(folder["longcat.json"], Fitting(input[0] == 0 ? content : Encoding.UTF8.GetBytes(manifest), folder));
            try
            {
                using InferenceEngine engine = InferenceEngine.Load(folder.Path, s_options);
                engine.GenerateAsync(new GenerationRequest { PromptIds = [1, 20, 21], Options = new GenerationOptions { MaxNewTokens = 2 } }).GetAwaiter().GetResult();
                return true;
            }
            catch (Exception error) when (error is CheckpointException or InferenceException)
            {
                return false;
            }
        }));
    }

    /// <summary>The manifest with the lengths and the content hash of what lies there, where it is still of a form that has these.</summary>
    private static byte[] Fitting(byte[] manifest, TemporaryFolder folder)
    {
        try
        {
            JsonObject json = JsonNode.Parse(manifest)!.AsObject();
            JsonObject files = json["files"]!.AsObject();
            if (files["tokenizer.json"] is JsonObject entry)
            {
                byte[] bytes = File.ReadAllBytes(folder["tokenizer.json"]);
                entry["bytes"] = bytes.Length;
                entry["sha256"] = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(bytes));
            }

            IEnumerable<string> lines = files.OrderBy(file => file.Key, StringComparer.Ordinal).Select(file => $"{file.Key} {file.Value!["sha256"]!.GetValue<string>()}\n");
            json["content_hash"] = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(Encoding.UTF8.GetBytes(string.Concat(lines))));
            return Encoding.UTF8.GetBytes(json.ToJsonString());
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or NullReferenceException or ArgumentException)
        {
            return manifest;
        }
    }
}
