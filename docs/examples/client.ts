// Posts the path of a picture, and prints who is on it. The module kube-face is generated: docs/api.md, "Clients".
import createClient from "openapi-fetch";
import type { paths } from "./kube-face.d.ts";

const [baseUrl, path] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl, headers: { Accept: "application/json" } });
const { data: posted, error } = await client.POST("/image/post", { body: { path } });
if (typeof posted !== "object" || !("id" in posted)) throw new Error(JSON.stringify(error ?? posted));
const ask = () => client.GET("/images/{id}", { params: { path: { id: posted.id } } });
let answer = await ask();
while (answer.response.status === 202) { // it is not done yet
  await new Promise((resolve) => setTimeout(resolve, 500));
  answer = await ask();
}
const image = answer.data;
console.log(image?.id, image?.status, image?.person?.name ?? image?.reason);
