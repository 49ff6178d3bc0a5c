using Microsoft.ML.Tokenizers;

namespace LongCat.ML.Training.Data;

/// <summary>Turns texts into documents of token ids: begin of sequence, the text, end of sequence.</summary>
public static class DocumentEncoder
{
    /// <summary>Encodes texts.</summary>
    /// <param name="tokenizer">The tokenizer.</param>
    /// <param name="texts">The texts.</param>
    /// <param name="beginOfSequence">The id in front, also where the tokenizer puts none; null for none.</param>
    /// <param name="endOfSequence">The id at the end.</param>
    /// <returns>One document per text.</returns>
    public static TokenizedDocuments Encode(Tokenizer tokenizer, IEnumerable<string> texts, int? beginOfSequence, int endOfSequence)
    {
        var documents = new List<int[]>();
        foreach (string text in texts)
        {
            var ids = new List<int>(tokenizer.EncodeToIds(text));
            if (beginOfSequence is int begin && (ids.Count == 0 || ids[0] != begin))
            {
                ids.Insert(0, begin);
            }

            ids.Add(endOfSequence);
            documents.Add([.. ids]);
        }

        return new TokenizedDocuments(documents);
    }
}
