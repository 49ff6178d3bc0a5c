using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Inputs;

/// <summary>Reads a column of texts: a vector, or one text as a vector of one.</summary>
internal static class TextVector
{
    public static Func<string[]> Bind(DataViewRow row, DataViewSchema.Column column)
    {
        if (column.Type is not VectorDataViewType)
        {
            ValueGetter<ReadOnlyMemory<char>> readOne = row.GetGetter<ReadOnlyMemory<char>>(column);
            return () =>
            {
                ReadOnlyMemory<char> text = default;
                readOne(ref text);
                return [text.ToString()];
            };
        }

        ValueGetter<VBuffer<ReadOnlyMemory<char>>> read = row.GetGetter<VBuffer<ReadOnlyMemory<char>>>(column);
        VBuffer<ReadOnlyMemory<char>> texts = default;
        return () =>
        {
            read(ref texts);
            return Strings(texts);
        };
    }

    public static string[] Strings(VBuffer<ReadOnlyMemory<char>> texts) => [.. texts.DenseValues().Select(text => text.ToString())];
}
