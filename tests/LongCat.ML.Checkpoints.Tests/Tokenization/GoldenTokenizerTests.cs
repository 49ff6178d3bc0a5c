using System.Text.Json;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Checkpoints.Tests.Tokenization;

/// <summary>Ids and texts recorded from an independent implementation; all exact.</summary>
public sealed class GoldenTokenizerTests(ITestOutputHelper output)
{
    public static TheoryData<string> Folders => ["gpt2-style", "qwen2-style", "llama3-style", "longcat-style", "phi-2"];

    [GoldenTheory]
    [MemberData(nameof(Folders))]
    public void Ids_texts_and_halves_of_characters_are_exact(string folder)
    {
        HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(GoldenFixtures.Path("tokenizers", folder));
        using JsonDocument recorded = JsonDocument.Parse(File.ReadAllText(GoldenFixtures.Path("tokenizers", folder, "encodings.json")));
        int cases = 0, decodings = 0;
        foreach (JsonElement row in recorded.RootElement.GetProperty("cases").EnumerateArray())
        {
            string text = row.GetProperty("text").GetString()!;
            int[] ids = [.. row.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())];
            Assert.Equal(ids, tokenizer.Encode(text));
            Assert.Equal(ids, tokenizer.EncodeToIds(text));
            Assert.Equal(ids, tokenizer.EncodeToIds(text.AsSpan()));
            Assert.Equal(ids, tokenizer.EncodeToTokens(text, out _).Select(token => token.Id));
            Assert.Equal(ids.Length, tokenizer.CountTokens(text));
            cases++;
            if (row.TryGetProperty("decoded", out JsonElement decoded))
            {
                AssertDecodes(tokenizer, ids, decoded.GetString()!);
                decodings++;
            }
        }

        if (recorded.RootElement.TryGetProperty("decode_only", out JsonElement halves))
        {
            foreach (JsonElement row in halves.EnumerateArray())
            {
                AssertDecodes(tokenizer, [.. row.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())], row.GetProperty("decoded").GetString()!);
                decodings++;
            }
        }

        output.WriteLine($"{folder}: {cases} texts encoded, {decodings} id lists decoded, all exact");
        Assert.True(cases > 30);
    }

    private static void AssertDecodes(HuggingFaceTokenizer tokenizer, int[] ids, string expected)
    {
        Assert.Equal(expected, tokenizer.Decode(ids));
        StreamingDecoder decoder = tokenizer.CreateStreamingDecoder();
        Assert.Equal(expected, string.Concat(ids.Select(decoder.Append)) + decoder.Flush());
        char[] destination = new char[expected.Length];
        Assert.Equal(System.Buffers.OperationStatus.Done, tokenizer.Decode(ids, destination, out int consumed, out int written));
        Assert.Equal((ids.Length, expected), (consumed, new string(destination, 0, written)));
    }
}
